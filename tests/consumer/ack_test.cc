#include "consumer_world.h"

namespace sluice::test {
namespace {

using Seqs = std::vector<uint64_t>;

/// A consumer with `count` messages fetched and not yet acknowledged.
struct Fetched : ConsumerWorld {
  explicit Fetched(int count, const ConsumerConfig& config = pull(), StreamConfig s = named("S", Retention::kLimits))
      : ConsumerWorld(std::move(s)) {
    for (int i = 0; i < count; ++i) stream().publish("a.b");
    make(config);
    fetch(std::to_string(count));
    messages = taken();
  }
  uint64_t floor() { return consumer().state().ack_floor().stream.value(); }
  uint64_t floor_cseq() { return consumer().state().ack_floor().consumer.value(); }
  size_t pending() { return consumer().state().pending().size(); }
  std::vector<Got> messages;
};

TEST(Ack, FloorIsTheAcknowledgedPrefix) {
  Fetched w(4);
  w.ack(w.messages[1]);
  EXPECT_EQ(w.floor(), 0u);
  w.ack(w.messages[0], "");
  EXPECT_EQ(w.floor(), 2u);
  EXPECT_EQ(w.floor_cseq(), 2u);
  w.ack(w.messages[3], "+OK");
  EXPECT_EQ(w.floor(), 2u);
  EXPECT_EQ(w.pending(), 1u);
  w.ack(w.messages[2]);
  EXPECT_EQ(w.floor(), 4u);
}

TEST(Ack, AllTakesEverythingBefore) {
  auto config = ConsumerWorld::pull();
  config.ack_policy = AckPolicy::kAll;
  Fetched w(4, config);
  w.ack(w.messages[2]);
  EXPECT_EQ(w.floor(), 3u);
  EXPECT_EQ(w.floor_cseq(), 3u);
  EXPECT_EQ(w.pending(), 1u);
}

TEST(Ack, BothFormsOfTheSubject) {
  Fetched w(2);
  w.request("$JS.ACK._.szMpdrwD.S.C.1.1.1.5.1", "+ACK");
  w.request("$JS.ACK._.szMpdrwD.S.C.1.2.2.5.1.token", "+ACK");
  EXPECT_EQ(w.pending(), 0u);
  w.request("$JS.ACK.S.C.1.x.1.5.1", "+ACK");
  w.request("$JS.ACK.S.C.99999999999999999999999.1.1.5.1", "+ACK");
}

TEST(Ack, DoubleAckIsAnsweredWhenDurable) {
  Fetched w(2);
  w.store.hold = true;
  w.ack(w.messages[0], "+ACK", "_INBOX.ok");
  EXPECT_TRUE(w.taken().empty());
  w.store.release();
  w.run();
  auto got = w.taken();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].subject, "_INBOX.ok");
  EXPECT_TRUE(got[0].payload.empty() && got[0].headers.empty());
  // Also for what is not pending and for unknown words.
  w.store.hold = false;
  w.ack(w.messages[0], "+ACK", "_INBOX.ok");
  w.ack(w.messages[1], "whatever", "_INBOX.ok");
  EXPECT_EQ(w.taken().size(), 2u);
  EXPECT_EQ(w.pending(), 1u);
}

TEST(Ack, NakRedeliversWithCountAndNewConsumerSequence) {
  Fetched w(2);
  w.ack(w.messages[0], "-NAK");
  w.fetch("1");
  const auto again = w.taken();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].meta().deliveries, 2u);
  EXPECT_EQ(again[0].meta().consumer_seq.value(), 3u);
  EXPECT_EQ(w.consumer().state().num_redelivered(), 1u);
  w.ack(w.messages[0]);  // the reply of the older delivery counts as well
  EXPECT_EQ(w.consumer().state().num_redelivered(), 0u);
  EXPECT_EQ(w.floor(), 1u);
}

TEST(Ack, NakWithDelayInAllItsForms) {
  for (const char* body : {"-NAK {\"delay\": 2000000000}", "-NAK 2s", "-NAK  2s "}) {
    Fetched w(1);
    w.fetch("1");
    w.ack(w.messages[0], body);
    w.sim.advance(1900ms);
    EXPECT_TRUE(w.taken().empty()) << body;
    w.sim.advance(200ms);
    EXPECT_EQ(w.taken_seqs(), Seqs({1})) << body;
  }
  for (const char* body : {"-NAK {\"delay\": \"x\"}", "-NAK soon", "-NAK {", "-NAK -2s"}) {
    Fetched w(1);
    w.fetch("1");
    w.ack(w.messages[0], body);
    EXPECT_EQ(w.taken_seqs(), Seqs({1})) << body;
  }
}

TEST(Ack, WaitPassesAndProgressHoldsItBack) {
  auto config = ConsumerWorld::pull();
  config.ack_wait = 1s;
  Fetched w(2, config);
  w.fetch(R"({"batch":10,"expires":60000000000})");
  w.sim.advance(900ms);
  w.ack(w.messages[1], "+WPI");
  w.sim.advance(200ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.sim.advance(800ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({2}));
}

TEST(Ack, BackoffGivesTheWaits) {
  auto config = ConsumerWorld::pull();
  config.backoff = {1s, 3s};
  Fetched w(1, config);
  EXPECT_EQ(w.consumer().config().ack_wait, 1s);
  w.fetch(R"({"batch":10,"expires":60000000000})");
  w.sim.advance(1100ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.sim.advance(2800ms);
  EXPECT_TRUE(w.taken().empty());
  w.sim.advance(300ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.sim.advance(3100ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
}

TEST(Ack, MaxDeliverGivesUpWithAnAdvisory) {
  auto config = ConsumerWorld::pull();
  config.ack_wait = 1s;
  config.max_deliver = 2;
  std::vector<std::string> advisories;
  Fetched w(2, config);
  const auto watch = w.bus.subscribe("$JS.EVENT.ADVISORY.>", {}, [&](const Message& m, const Origin&) {
    advisories.push_back(std::string(m.subject) + " " + std::string(m.payload));
  });
  w.ack(w.messages[1]);
  w.fetch(R"({"batch":10,"expires":60000000000})");
  w.sim.advance(1100ms);
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.sim.advance(1100ms);
  EXPECT_TRUE(w.taken().empty());
  ASSERT_EQ(advisories.size(), 1u);
  EXPECT_TRUE(advisories[0].starts_with("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C {\"type\":\"io.nats.jetstream."
                                        "advisory.v1.max_deliver\",\"id\":\""));
  EXPECT_TRUE(advisories[0].ends_with(R"("stream":"S","consumer":"C","stream_seq":1,"deliveries":2})"));
  EXPECT_EQ(w.pending(), 0u);
  EXPECT_EQ(w.floor(), 2u);
  EXPECT_EQ(w.consumer().state().num_redelivered(), 1u);
}

TEST(Ack, TermEndsItWithItsReason) {
  Fetched w(1);
  std::string advisory;
  const auto watch =
      w.bus.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C", {},
                      [&](const Message& m, const Origin&) { advisory = m.payload; });
  w.ack(w.messages[0], "+TERM bad \"one\"");
  EXPECT_EQ(w.pending(), 0u);
  EXPECT_TRUE(advisory.ends_with(R"("consumer_seq":1,"stream_seq":1,"deliveries":1,"reason":"bad \"one\""})")) << advisory;
}

TEST(Ack, NextAcksAndPulls) {
  Fetched w(1);
  for (int i = 0; i < 4; ++i) w.stream().publish("a.b");
  w.ack(w.messages[0], "+NXT", "_INBOX.n");
  auto got = w.taken();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(w.floor(), 1u);
  w.ack(got[0], "+NXT {\"batch\":2}", "_INBOX.n");
  got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  w.ack(got[1], "+NXT 1", "_INBOX.n");
  EXPECT_EQ(w.taken_seqs(), Seqs({5}));
}

TEST(Ack, NoneFollowsDeliveries) {
  auto config = ConsumerWorld::pull();
  config.ack_policy = AckPolicy::kNone;
  Fetched w(3, config);
  EXPECT_EQ(w.floor(), 3u);
  EXPECT_EQ(w.pending(), 0u);
  EXPECT_FALSE(w.bus.has_interest(w.messages[0].reply, {}));
}

TEST(Ack, WorkQueueLosesWhatIsDone) {
  Fetched w(3, ConsumerWorld::pull(), ConsumerWorld::named("S", Retention::kWorkQueue));
  w.ack(w.messages[1]);
  w.ack(w.messages[2], "+TERM");
  EXPECT_EQ(w.stream().store().messages().size(), 1u);
  EXPECT_TRUE(w.consumer().needs(StreamSeq(1), "a.b"));
  EXPECT_FALSE(w.consumer().needs(StreamSeq(2), "a.b"));
  EXPECT_TRUE(w.consumer().needs(StreamSeq(9), "a.b"));
}

TEST(Ack, RemovedMessagesAreDone) {
  Fetched w(3);
  w.stream().remove(StreamSeq(1));
  EXPECT_EQ(w.floor(), 1u);
  w.ack(w.messages[1], "-NAK");
  w.stream().remove(StreamSeq(2));
  w.fetch("5");
  EXPECT_TRUE(w.taken().empty());
  EXPECT_EQ(w.pending(), 1u);
}

TEST(Ack, PurgeClearsBelow) {
  Fetched w(3);
  for (int i = 0; i < 3; ++i) w.stream().publish("a.b");
  w.stream().purge({.filter = {}, .below = StreamSeq(5)}, [](const Result<uint64_t>&) {});
  EXPECT_EQ(w.pending(), 0u);
  EXPECT_EQ(w.consumer().num_pending(), 2u);
  w.fetch("5");
  EXPECT_EQ(w.taken_seqs(), Seqs({5, 6}));
}

TEST(Ack, SamplesAreReported) {
  auto config = ConsumerWorld::pull();
  config.sample_freq = "100%";
  Fetched w(1, config);
  std::string metric;
  const auto watch = w.bus.subscribe("$JS.EVENT.METRIC.CONSUMER.ACK.S.C", {},
                                     [&](const Message& m, const Origin&) { metric = m.payload; });
  w.sim.advance(5ms);
  w.ack(w.messages[0]);
  EXPECT_TRUE(metric.ends_with(R"("consumer_seq":1,"stream_seq":1,"ack_time":5000000,"deliveries":1})")) << metric;
}

}  // namespace
}  // namespace sluice::test
