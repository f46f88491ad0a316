// ack_policy flow_control: answers to flow-control requests acknowledge (ADR-60).
#include "consumer_world.h"

namespace sluice::test {
namespace {

struct FlowWorld : ConsumerWorld {
  explicit FlowWorld(int64_t max_ack_pending) : ConsumerWorld(named("S", Retention::kWorkQueue)) {
    listener = bus.subscribe("out", {}, [this](const Message& m, const Origin&) { take(m); });
    ConsumerConfig c = pull();
    c.ack_policy = AckPolicy::kFlowControl;
    c.deliver_subject = "out";
    c.max_ack_pending = max_ack_pending;
    make(c);
  }
  /// The subject of the flow-control request that came, or "".
  std::string asked() {
    std::string subject;
    for (const Got& g : taken()) {
      if (g.headers.starts_with("NATS/1.0 100 FlowControl Request")) subject = g.reply;
    }
    return subject;
  }
  void answer(std::string_view subject, std::string_view headers) {
    bus.publish(Message{subject, {}, headers, {}});
    run();
  }
  std::unique_ptr<BusSubscription> listener;
};

constexpr std::string_view kUpToTwo = "NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n";

TEST(FlowAcks, AFullWindowAsksAndTheAnswerAcknowledges) {
  FlowWorld w(2);
  for (int i = 0; i < 5; ++i) w.stream().publish("a.b");
  w.run();
  EXPECT_EQ(w.got.size(), 3u);
  const std::string subject = w.asked();
  ASSERT_FALSE(subject.empty());
  EXPECT_EQ(w.consumer().state().pending().size(), 2u);
  w.answer(subject, kUpToTwo);
  EXPECT_EQ(w.consumer().state().ack_floor().stream, StreamSeq(2));
  EXPECT_EQ(w.stream().store().state().messages, 3u);  // acknowledged ones left the work queue
  EXPECT_EQ(w.consumer().state().delivered().stream, StreamSeq(4));
}

TEST(FlowAcks, AnAnswerWithoutPositionAcknowledgesNothing) {
  FlowWorld w(2);
  for (int i = 0; i < 3; ++i) w.stream().publish("a.b");
  w.run();
  const std::string subject = w.asked();
  w.answer(subject, "");
  EXPECT_EQ(w.consumer().state().pending().size(), 2u);
  w.sim.advance(1s);  // the heartbeat asks again
  const std::string again = w.asked();
  ASSERT_FALSE(again.empty());
  w.answer(subject, kUpToTwo);  // an old subject counts no more
  EXPECT_EQ(w.consumer().state().pending().size(), 2u);
  w.answer(again, kUpToTwo);
  EXPECT_EQ(w.consumer().state().ack_floor().stream, StreamSeq(2));
}

TEST(FlowAcks, APositionAheadOfTheDeliveriesCountsUpToThem) {
  FlowWorld w(10);
  for (int i = 0; i < 3; ++i) w.stream().publish("a.b");
  w.run();
  w.sim.advance(1s);
  const std::string subject = w.asked();
  ASSERT_FALSE(subject.empty());
  w.answer(subject, "NATS/1.0\r\nNats-Last-Consumer: 99\r\nNats-Last-Stream: 18446744073709551615\r\n\r\n");
  EXPECT_EQ(w.consumer().state().ack_floor().stream, StreamSeq(3));
  EXPECT_TRUE(w.consumer().state().pending().empty());
}

TEST(FlowAcks, NothingComesAgainByItselfButByReset) {
  FlowWorld w(10);
  for (int i = 0; i < 3; ++i) w.stream().publish("a.b");
  w.run();
  (void)w.taken();
  w.restart();
  w.sim.advance(10min);
  for (const uint64_t seq : w.taken_seqs()) EXPECT_EQ(seq, 0u);  // requests for flow control only
  EXPECT_EQ(w.consumer().state().pending().size(), 3u);
  ASSERT_TRUE(w.consumers->reset(w.consumer(), std::nullopt));
  w.run();
  EXPECT_EQ(w.taken_seqs(), std::vector<uint64_t>({1, 2, 3}));
}

TEST(Reset, TheDeliverPolicyDecides) {
  ConsumerWorld w;
  for (int i = 0; i < 5; ++i) w.stream().publish("a.b");
  ConsumerConfig c = ConsumerWorld::pull();
  c.deliver_policy = DeliverPolicy::kByStartSequence;
  c.opt_start_seq = 3;
  Consumer& consumer = w.make(c);
  const auto reset = [&](Consumer& of, uint64_t to) {
    const auto start = w.consumers->reset(of, StreamSeq(to));
    return start ? std::to_string(start->value()) : start.error().detail;
  };
  EXPECT_EQ(reset(consumer, 2), "below start seq");
  EXPECT_EQ(reset(consumer, 4), "4");
  c = ConsumerWorld::pull("T");
  c.deliver_policy = DeliverPolicy::kByStartTime;
  c.opt_start_time = w.sim.clock().wall() + 1'000'000'000;
  EXPECT_EQ(reset(w.make(c), 4), "below start time");
  c = ConsumerWorld::pull("N");
  c.deliver_policy = DeliverPolicy::kNew;
  EXPECT_EQ(reset(w.make(c), 4), "not allowed");
}

TEST(Reset, SurvivesARestart) {
  ConsumerWorld w;
  for (int i = 0; i < 5; ++i) w.stream().publish("a.b");
  w.make(ConsumerWorld::pull());
  w.fetch("4");
  (void)w.taken();
  ASSERT_TRUE(w.consumers->reset(w.consumer(), StreamSeq(2)));
  w.run();
  w.restart();
  EXPECT_EQ(w.consumer().num_pending(), 4u);
  EXPECT_EQ(w.consumer().state().delivered().consumer, ConsumerSeq(0));
  w.fetch("2");
  EXPECT_EQ(w.taken_seqs(), std::vector<uint64_t>({2, 3}));
}

}  // namespace
}  // namespace sluice::test
