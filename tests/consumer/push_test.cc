#include "consumer_world.h"

namespace sluice::test {
namespace {

using Seqs = std::vector<uint64_t>;
using Lines = std::vector<std::string>;

ConsumerConfig push(std::string subject = "_INBOX.push") {
  ConsumerConfig c;
  c.name = "P";
  c.deliver_subject = std::move(subject);
  c.inactive_threshold = 1h;
  return c;
}

TEST(Push, DeliversAtOnceAndAsPublished) {
  ConsumerWorld w;
  w.stream().publish("a.b", "1");
  w.make(push());
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.stream().publish("a.c", "2");
  w.run();
  const auto got = w.taken();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].subject, "a.c");
  EXPECT_TRUE(w.consumer("P").push_bound());
}

/// Whatever selects the messages: what the disk refuses to read now comes later, once, in order.
TEST(Push, ARefusedReadIsAskedForAgain) {
  const auto selecting = [](DeliverPolicy policy, std::vector<std::string> filters) {
    ConsumerConfig c = push();
    c.deliver_policy = policy;
    c.filter_subjects = std::move(filters);
    c.ack_policy = AckPolicy::kExplicit;
    return c;
  };
  const std::pair<ConsumerConfig, Seqs> cases[] = {
      {selecting(DeliverPolicy::kAll, {}), {1, 2, 3, 4, 5, 6}},
      {selecting(DeliverPolicy::kAll, {"a.b"}), {1, 3, 4, 6}},
      {selecting(DeliverPolicy::kAll, {"a.b", "a.c"}), {1, 2, 3, 4, 5, 6}},
      {selecting(DeliverPolicy::kLastPerSubject, {"a.b", "a.c"}), {2, 3, 4, 5, 6}},
  };
  for (const auto& [config, expected] : cases) {
    SCOPED_TRACE(testing::Message() << config.filter_subjects.size() << " filters");
    ConsumerWorld w;
    for (const char* subject : {"a.b", "a.c", "a.b"}) w.stream().publish(subject);
    w.stream().store().refuse(true);
    w.make(config);
    EXPECT_TRUE(w.taken().empty());
    for (const char* subject : {"a.b", "a.c", "a.b"}) w.stream().publish(subject);
    w.run();
    w.sim.advance(1s);
    EXPECT_TRUE(w.taken().empty());
    w.stream().store().refuse(false);
    w.sim.advance(1s);
    EXPECT_EQ(w.taken_seqs(), expected);
    EXPECT_EQ(w.consumer("P").num_pending(), 0u);
  }
}

TEST(Push, ARefusedReadDoesNotEndARedelivery) {
  ConsumerWorld w;
  w.stream().publish("a.b");
  ConsumerConfig config = push();
  config.ack_policy = AckPolicy::kExplicit;
  config.ack_wait = 5s;
  w.make(config);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.stream().store().refuse(true);
  w.sim.advance(6s);
  EXPECT_TRUE(w.taken().empty());
  w.stream().store().refuse(false);
  w.sim.advance(1s);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
}

TEST(Push, WaitsForInterest) {
  ConsumerWorld w;
  w.stream().publish("a.b");
  w.make(push("out.x"));
  EXPECT_FALSE(w.consumer("P").push_bound());
  Seqs seqs;
  const auto take = [&](const Message& m, const Origin&) {
    seqs.push_back(parse_ack_subject(m.reply).value_or(DeliveryMeta{}).stream_seq.value());
  };
  auto sub = w.bus.subscribe("out.x", {}, take);
  w.run();
  EXPECT_EQ(seqs, Seqs({1}));
  sub.reset();
  w.stream().publish("a.b");
  w.run();
  EXPECT_EQ(w.consumer("P").num_pending(), 1u);
  sub = w.bus.subscribe("out.x", {}, take);
  w.run();
  EXPECT_EQ(seqs, Seqs({1, 2}));
}

TEST(Push, DeliverGroupCountsOnlyItsMembers) {
  ConsumerWorld w;
  auto config = push("out.x");
  config.deliver_group = "g";
  w.make(config);
  const auto plain = w.bus.subscribe("out.x", {}, [&](const Message& m, const Origin&) { w.take(m); });
  w.stream().publish("a.b");
  w.run();
  EXPECT_TRUE(w.taken().empty());
  const auto member = w.bus.subscribe("out.x", "g", [&](const Message& m, const Origin&) { w.take(m); });
  w.run();
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
}

TEST(Push, HeartbeatWithoutTraffic) {
  ConsumerWorld w;
  auto config = push();
  config.idle_heartbeat = 1s;
  w.make(config);
  w.sim.advance(500ms);
  w.stream().publish("a.b");
  w.run();
  w.taken();
  w.sim.advance(900ms);
  EXPECT_TRUE(w.taken().empty());
  w.sim.advance(200ms);
  EXPECT_EQ(w.taken_statuses(), Lines({"100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n"}));
  w.sim.advance(1s);
  EXPECT_EQ(w.taken_statuses().size(), 1u);
}

TEST(Push, FlowControlStallsAndResumes) {
  ConsumerWorld w;
  auto config = push();
  config.flow_control = true;
  config.idle_heartbeat = 1s;
  w.make(config);
  const std::string payload(100 * 1024, 'x');
  for (int i = 0; i < 40; ++i) w.stream().publish("a.b", payload);
  w.run();
  auto got = w.taken();
  std::string question;
  size_t messages = 0;
  for (const Got& g : got) {
    if (g.headers == "NATS/1.0 100 FlowControl Request\r\n\r\n") question = g.reply;
    if (!g.payload.empty()) ++messages;
  }
  ASSERT_TRUE(question.starts_with("$JS.FC.S.P."));
  EXPECT_EQ(messages, 21u);  // a window of 2 MiB
  w.sim.advance(1100ms);
  const auto statuses = w.taken_statuses();
  ASSERT_FALSE(statuses.empty());
  EXPECT_TRUE(statuses[0].ends_with("Nats-Consumer-Stalled: " + question + "\r\n\r\n")) << statuses[0];
  w.request(question, "");
  w.run();
  EXPECT_GE(w.taken_seqs().size(), 19u);
  EXPECT_EQ(w.consumer("P").num_pending(), 0u);
}

TEST(Push, HeadersOnly) {
  ConsumerWorld w;
  auto config = push();
  config.headers_only = true;
  w.make(config);
  w.stream().publish("a.b", "12345");
  w.stream().publish("a.b", "1", "NATS/1.0\r\nA: b\r\n\r\n");
  w.run();
  const auto got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].headers, "NATS/1.0\r\nNats-Msg-Size: 5\r\n\r\n");
  EXPECT_EQ(got[1].headers, "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 1\r\n\r\n");
  EXPECT_TRUE(got[1].payload.empty());
}

TEST(Push, PullOnItIsRefused) {
  ConsumerWorld w;
  w.make(push());
  w.fetch("1", "_INBOX.1", "P");
  EXPECT_EQ(w.taken_statuses(), Lines({"409 Consumer is push based\r\n\r\n"}));
}

TEST(Push, RateLimitSpreadsDeliveries) {
  ConsumerWorld w;
  auto config = push();
  config.rate_limit_bps = 8 * 1024;
  w.make(config);
  for (int i = 0; i < 3; ++i) w.stream().publish("a.b", std::string(1021, 'x'));
  w.run();
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.sim.advance(1100ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({2}));
  w.sim.advance(1100ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({3}));
}

TEST(Push, ReplayOriginalKeepsTheSpacing) {
  ConsumerWorld w;
  w.stream().publish("a.b");
  w.sim.advance(3s);
  w.stream().publish("a.b");
  auto config = push();
  config.replay_policy = ReplayPolicy::kOriginal;
  w.make(config);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.sim.advance(2900ms);
  EXPECT_TRUE(w.taken().empty());
  w.sim.advance(200ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({2}));
}

TEST(Push, EphemeralGoesWhenNobodyListens) {
  ConsumerWorld w;
  auto config = push("out.x");
  config.inactive_threshold = 2s;
  auto sub = w.bus.subscribe("out.x", {}, [](const Message&, const Origin&) {});
  w.make(config);
  w.sim.advance(10s);
  EXPECT_EQ(w.consumers->size(), 1u);
  sub.reset();
  w.sim.advance(5s);
  EXPECT_EQ(w.consumers->size(), 0u);
}

TEST(Push, PauseHoldsDeliveriesBack) {
  ConsumerWorld w;
  w.make(push());
  w.consumers->pause(w.consumer("P"), w.sim.clock().wall() + 5'000'000'000);
  w.stream().publish("a.b");
  w.run();
  EXPECT_TRUE(w.taken().empty());
  EXPECT_TRUE(w.consumer("P").paused());
  w.sim.advance(5100ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
}

}  // namespace
}  // namespace sluice::test
