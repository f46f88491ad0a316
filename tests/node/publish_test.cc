// Publishing end to end: what is acknowledged is on disk.
#include "node_world.h"

namespace sluice::test {
namespace {

using Lines = std::vector<std::string>;

TEST(NodePublish, AckNamesStreamAndSequence) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s.>");
  EXPECT_EQ(w.ask(c, "s.a", "one").payload, R"({"stream":"S","seq":1})");
  EXPECT_EQ(w.ask(c, "s.b", "two", "NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n").payload, R"({"stream":"S","seq":2})");
  EXPECT_EQ(w.ask(c, "s.b", "two", "NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n").payload,
            R"({"stream":"S","seq":2,"duplicate": true})");
  EXPECT_EQ(w.stream_state(c, "S")["messages"], 2);
}

TEST(NodePublish, AckComesOnlyAfterTheSync) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s.>");
  w.sim.settle();
  w.sim.disk_workers().set_latency(10ms, 10ms);
  const uint64_t syncs = w.sim.disk().ops(DiskOp::kSync);
  const std::string inbox = c.request("s.a", "held");
  w.sim.run_until_idle();
  w.sim.advance(4ms);
  EXPECT_EQ(w.sim.disk().ops(DiskOp::kSync), syncs);
  EXPECT_EQ(c.waiting(inbox), 0u);
  w.sim.advance(5ms);  // the disk has done its part, the loop has not heard of it
  EXPECT_EQ(c.waiting(inbox), 0u);
  ASSERT_TRUE(w.sim.run_until([&] { return c.waiting(inbox) > 0; }, 1s));
  EXPECT_GT(w.sim.disk().ops(DiskOp::kSync), syncs);
  EXPECT_EQ(c.take(inbox)[0].payload, R"({"stream":"S","seq":1})");
}

TEST(NodePublish, DuplicateOfWhatIsNotYetOnDiskWaitsToo) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.sim.settle();
  w.sim.disk_workers().set_latency(10ms, 10ms);
  const std::string id = "NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n";
  const std::string first = c.request("s", "m", id);
  const std::string again = c.request("s", "m", id);
  w.sim.run_until_idle();
  w.sim.advance(9ms);
  EXPECT_EQ(c.waiting(first) + c.waiting(again), 0u);
  w.sim.settle();
  EXPECT_EQ(c.take(first).at(0).payload, R"({"stream":"S","seq":1})");
  EXPECT_EQ(c.take(again).at(0).payload, R"({"stream":"S","seq":1,"duplicate": true})");
}

TEST(NodePublish, GetsShowNothingThatACrashCouldTakeBack) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s", R"(,"allow_direct":true)");
  w.sim.settle();
  w.sim.disk_workers().set_latency(10ms, 10ms);
  c.publish("s", "m");
  const std::string direct = c.request("$JS.API.DIRECT.GET.S", R"({"last_by_subj":"s"})");
  const std::string get = c.request("$JS.API.STREAM.MSG.GET.S", R"({"seq":1})");
  const std::string info = c.request("$JS.API.STREAM.INFO.S", "");
  w.sim.run_until_idle();
  w.sim.advance(9ms);
  EXPECT_EQ(c.waiting(direct) + c.waiting(get) + c.waiting(info), 0u);
  w.sim.settle();
  EXPECT_EQ(payloads(c.take(direct)), Lines({"m"}));
  EXPECT_EQ(Json::parse(c.take(get).at(0).payload)["message"]["seq"], 1);
  EXPECT_EQ(Json::parse(c.take(info).at(0).payload)["state"]["messages"], 1);
}

TEST(NodePublish, ApiAnswersOnlyAfterTheSync) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.sim.settle();
  w.sim.disk_workers().set_latency(10ms, 10ms);
  const std::string inbox = c.request("$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s"]})");
  w.sim.run_until_idle();
  EXPECT_EQ(c.waiting(inbox), 0u);
  ASSERT_TRUE(w.sim.run_until([&] { return c.waiting(inbox) > 0; }, 1s));
  w.restart(Crash::kPower);
  EXPECT_NE(w.node->streams().find("S"), nullptr);
}

TEST(NodePublish, ConsumersSeeNothingThatACrashCouldTakeBack) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.make_consumer(c, "S", "C");
  w.sim.settle();
  w.sim.disk_workers().set_latency(10ms, 10ms);
  const std::string pull = c.request("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":1,"expires":1000000000})");
  c.publish("s", "m");
  w.sim.run_until_idle();
  EXPECT_EQ(c.waiting(pull), 0u);
  ASSERT_TRUE(w.sim.run_until([&] { return c.waiting(pull) > 0; }, 900ms));
  EXPECT_EQ(payloads(c.take(pull)), Lines({"m"}));
}

TEST(NodePublish, PlainSubscribersDoNotWaitForTheDisk) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  auto& listener = w.client("listener");
  w.make_stream(c, "S", "s");
  listener.subscribe("s");
  w.sim.settle();
  w.sim.disk_workers().set_latency(1s, 1s);
  c.publish("s", "now");
  w.sim.run_until_idle();
  EXPECT_EQ(payloads(listener.take("s")), Lines({"now"}));
  w.sim.settle();
}

TEST(NodePublish, WithoutJetStreamItIsAPlainServer) {
  NodeWorld w;
  w.options.server.jetstream = false;
  w.start();
  EXPECT_FALSE(w.node->jetstream());
  auto& a = w.client("a");
  auto& b = w.client("b");
  b.subscribe("x");
  w.sim.run_until_idle();
  a.publish("x", "hello");
  w.sim.run_until_idle();
  EXPECT_EQ(payloads(b.take("x")), Lines({"hello"}));
  EXPECT_EQ(w.ask(a, "$JS.API.INFO").status(), "503");
  bool stopped = false;
  w.node->stop(0ns, [&](Status done) { stopped = done.has_value(); });
  EXPECT_TRUE(w.sim.run_until([&] { return stopped; }, 1s));
}

TEST(NodePublish, NextOfAnUnknownConsumerHasNoResponders) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  const Received got = w.ask(c, "$JS.API.CONSUMER.MSG.NEXT.S.nobody", R"({"batch":1})");
  EXPECT_EQ(got.status(), "503");
  EXPECT_EQ(got.payload, "");
  w.make_consumer(c, "S", "C");
  w.publish(c, "s", "m");
  EXPECT_EQ(w.ask(c, "$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":1})").payload, "m");
  EXPECT_EQ(w.api(c, "CONSUMER.DELETE.S.C")["success"], true);
  EXPECT_EQ(w.ask(c, "$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":1})").status(), "503");
}

}  // namespace
}  // namespace sluice::test
