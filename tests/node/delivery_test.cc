// Streams and consumers together: retention, limits, watching, slow readers.
#include "node_world.h"

namespace sluice::test {
namespace {

using Lines = std::vector<std::string>;

// -- interest retention

TEST(NodeInterest, MessageGoesWhenEverybodyHasAcked) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "I", "i.>", R"(,"retention":"interest")");
  w.make_consumer(c, "I", "A");
  w.make_consumer(c, "I", "B");
  w.publish(c, "i.x", "1");
  w.publish(c, "i.x", "2");
  const auto a = w.pull(c, "I", "A", 5);
  const auto b = w.pull(c, "I", "B", 5);
  ASSERT_EQ(payloads(a), Lines({"1", "2"}));
  ASSERT_EQ(payloads(b), Lines({"1", "2"}));
  w.ack_sync(c, a[0]);
  w.ack_sync(c, a[1]);
  EXPECT_EQ(w.stream_state(c, "I")["messages"], 2);
  w.ack_sync(c, b[1]);
  Json state = w.stream_state(c, "I");
  EXPECT_EQ(state["messages"], 1) << state.dump();
  EXPECT_EQ(state["first_seq"], 1);
  w.ack_sync(c, b[0]);
  state = w.stream_state(c, "I");
  EXPECT_EQ(state["messages"], 0) << state.dump();
  EXPECT_EQ(state["first_seq"], 3);
  EXPECT_EQ(state["last_seq"], 2);
}

TEST(NodeInterest, UsesTheSequenceWhenNobodyIsInterested) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "I", "i.>", R"(,"retention":"interest")");
  EXPECT_EQ(w.publish(c, "i.x", "1")["seq"], 1);
  w.make_consumer(c, "I", "A", R"(,"filter_subject":"i.a")");
  EXPECT_EQ(w.publish(c, "i.x", "2")["seq"], 2);
  EXPECT_EQ(w.publish(c, "i.a", "3")["seq"], 3);
  const Json state = w.stream_state(c, "I");
  EXPECT_EQ(state["messages"], 1) << state.dump();
  EXPECT_EQ(state["first_seq"], 3);
  EXPECT_EQ(state["last_seq"], 3);
  EXPECT_EQ(payloads(w.pull(c, "I", "A", 5)), Lines({"3"}));
}

TEST(NodeInterest, RemovedConsumerLetsGo) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "I", "i", R"(,"retention":"interest")");
  w.make_consumer(*c, "I", "A");
  w.make_consumer(*c, "I", "B");
  w.publish(*c, "i", "1");
  w.publish(*c, "i", "2");
  const auto a = w.pull(*c, "I", "A", 5);
  ASSERT_EQ(a.size(), 2u);
  w.ack_sync(*c, a[0]);
  EXPECT_EQ(w.stream_state(*c, "I")["messages"], 2);
  EXPECT_EQ(w.api(*c, "CONSUMER.DELETE.I.B")["success"], true);
  w.sim.settle();
  EXPECT_EQ(w.stream_state(*c, "I")["messages"], 1);
  w.restart(Crash::kPower);
  c = &w.client("c");
  const Json state = w.stream_state(*c, "I");
  EXPECT_EQ(state["messages"], 1);
  EXPECT_EQ(state["first_seq"], 2);
}

TEST(NodeInterest, AcksSurviveAPowerCut) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "I", "i", R"(,"retention":"interest")");
  w.make_consumer(*c, "I", "A");
  w.make_consumer(*c, "I", "B");
  w.publish(*c, "i", "1");
  w.ack_sync(*c, w.pull(*c, "I", "A", 1).at(0));
  w.restart(Crash::kPower);
  c = &w.client("c");
  EXPECT_EQ(w.stream_state(*c, "I")["messages"], 1);
  w.ack_sync(*c, w.pull(*c, "I", "B", 1).at(0));
  EXPECT_EQ(w.stream_state(*c, "I")["messages"], 0);
}

// -- limits under a consumer

TEST(NodeLimits, PendingMessagesThatALimitRemovesAreOver) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s", R"(,"max_msgs":3)");
  w.make_consumer(c, "S", "C", R"(,"ack_wait":1000000000)");
  for (int i = 1; i <= 3; ++i) w.publish(c, "s", fmt::format("{}", i));
  const auto first = w.pull(c, "S", "C", 2);
  ASSERT_EQ(payloads(first), Lines({"1", "2"}));
  for (int i = 4; i <= 6; ++i) w.publish(c, "s", fmt::format("{}", i));
  w.sim.settle();
  Json info = w.consumer_info(c, "S", "C");
  EXPECT_EQ(info["num_ack_pending"], 0) << info.dump();
  EXPECT_EQ(info["num_pending"], 3) << info.dump();
  EXPECT_EQ(info["ack_floor"]["stream_seq"], 2) << info.dump();
  w.sim.advance(3s);
  EXPECT_EQ(payloads(w.pull(c, "S", "C", 9)), Lines({"4", "5", "6"}));
  w.ack(c, first[0]);  // late ack of what is gone
  w.sim.settle();
  info = w.consumer_info(c, "S", "C");
  EXPECT_EQ(info["num_ack_pending"], 3) << info.dump();
}

TEST(NodeLimits, PurgeEndsWhatIsPending) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.make_consumer(c, "S", "C", R"(,"ack_wait":1000000000,"max_ack_pending":2)");
  for (int i = 1; i <= 5; ++i) w.publish(c, "s", fmt::format("{}", i));
  ASSERT_EQ(w.pull(c, "S", "C", 5).size(), 2u);
  EXPECT_EQ(w.api(c, "STREAM.PURGE.S")["purged"], 5);
  w.publish(c, "s", "6");
  const Json info = w.consumer_info(c, "S", "C");
  EXPECT_EQ(info["num_ack_pending"], 0) << info.dump();
  EXPECT_EQ(info["num_pending"], 1) << info.dump();
  EXPECT_EQ(payloads(w.pull(c, "S", "C", 5)), Lines({"6"}));
  w.sim.advance(3s);
  EXPECT_EQ(payloads(w.pull(c, "S", "C", 5)), Lines({"6"}));  // redelivered, alone
}

TEST(NodeLimits, AgeTakesMessagesFromUnderAConsumer) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s", R"(,"max_age":2000000000,"duplicate_window":1000000000)");
  w.make_consumer(c, "S", "C");
  w.publish(c, "s", "old");
  ASSERT_EQ(w.pull(c, "S", "C", 1).size(), 1u);
  w.sim.advance(5s);
  const Json info = w.consumer_info(c, "S", "C");
  EXPECT_EQ(info["num_ack_pending"], 0) << info.dump();
  EXPECT_EQ(w.stream_state(c, "S")["messages"], 0);
}

// -- key-value

TEST(NodeKv, WatchGivesTheLastOfEachKeyThenWhatIsNew) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "KV_b", "$KV.b.>",
                R"(,"max_msgs_per_subject":5,"allow_direct":true,"allow_rollup_hdrs":true,"deny_delete":true)");
  w.publish(c, "$KV.b.x", "x1");
  w.publish(c, "$KV.b.y", "y1");
  w.publish(c, "$KV.b.x", "x2");
  c.subscribe("watch");
  w.sim.run_until_idle();
  const Json made = w.api(c, "CONSUMER.CREATE.KV_b",
                          R"({"stream_name":"KV_b","config":{"deliver_subject":"watch","deliver_policy":)"
                          R"("last_per_subject","ack_policy":"none","max_deliver":1,"mem_storage":true,)"
                          R"("filter_subject":"$KV.b.>","num_replicas":1}})");
  ASSERT_FALSE(made.contains("error")) << made.dump();
  EXPECT_EQ(made["num_pending"], 2) << made.dump();
  w.sim.settle();
  auto seen = c.take("watch");
  EXPECT_EQ(payloads(seen), Lines({"y1", "x2"}));
  EXPECT_EQ(seen.back().subject, "$KV.b.x");
  EXPECT_TRUE(seen.back().reply.ends_with(".0")) << seen.back().reply;  // nothing pending: the watcher is current
  w.publish(c, "$KV.b.y", "y2");
  w.publish(c, "$KV.b.x", "", "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n");
  seen = c.take("watch");
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].payload, "y2");
  EXPECT_NE(seen[1].headers.find("KV-Operation: DEL"), std::string::npos);
}

TEST(NodeKv, CreateAndUpdateByExpectedSequence) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "KV_b", "$KV.b.>", R"(,"max_msgs_per_subject":1,"allow_direct":true)");
  const auto put = [&](std::string_view value, int expected) {
    return w.publish(c, "$KV.b.k", value,
                     fmt::format("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {}\r\n\r\n", expected));
  };
  EXPECT_EQ(put("first", 0)["seq"], 1);
  EXPECT_EQ(put("again", 0)["error"]["err_code"], 10071);
  EXPECT_EQ(put("second", 1)["seq"], 2);
  const Received got = w.ask(c, "$JS.API.DIRECT.GET.KV_b.$KV.b.k");
  EXPECT_EQ(got.payload, "second");
  EXPECT_NE(got.headers.find("Nats-Sequence: 2"), std::string::npos) << got.headers;
}

// -- slow readers

TEST(NodeSlowReader, PlainSubscriberDoesNotHoldOthers) {
  NodeWorld w;
  w.options.server.max_pending = 256 * kKiB;
  w.options.server.max_payload = 64 * kKiB;
  w.sim.net().options().window_bytes = 32 * kKiB;
  w.start();
  auto& slow = w.client("slow");
  auto& fast = w.client("fast");
  auto& publisher = w.client("publisher");
  slow.subscribe("x");
  fast.subscribe("x");
  w.sim.run_until_idle();
  slow.pause_reading();
  const std::string body(8 * kKiB, 'b');
  for (int i = 0; i < 100; ++i) publisher.publish("x", body);
  EXPECT_TRUE(w.sim.run_until([&] { return fast.waiting("x") == 100; }, 8s));
  w.sim.advance(20s);
  EXPECT_EQ(w.node->server().counters().slow_consumers_pending +
                w.node->server().counters().slow_consumers_deadline, 1u);
  EXPECT_EQ(w.node->server().connection_count(), 2u);
  w.publish(publisher, "y", "");  // still served (no responders)
}

TEST(NodeSlowReader, PullOfASlowReaderWaitsAndLosesNothing) {
  NodeWorld w;
  w.options.server.max_pending = 256 * kKiB;
  w.options.server.max_payload = 64 * kKiB;
  w.sim.net().options().window_bytes = 32 * kKiB;
  w.start();
  auto& c = w.client("c");
  auto& slow = w.client("slow");
  auto& fast = w.client("fast");
  w.make_stream(c, "S", "s");
  w.make_consumer(c, "S", "SLOW");
  w.make_consumer(c, "S", "FAST");
  const std::string body(8 * kKiB, 'b');
  for (int i = 0; i < 100; ++i) c.publish("s", body);
  w.sim.settle();
  ASSERT_EQ(w.stream_state(c, "S")["messages"], 100);
  const char* next = R"({"batch":200,"expires":60000000000})";
  slow.pause_reading();
  const std::string slow_pull = slow.request("$JS.API.CONSUMER.MSG.NEXT.S.SLOW", next);
  w.sim.run_until_idle();
  const std::string fast_pull = fast.request("$JS.API.CONSUMER.MSG.NEXT.S.FAST", next);
  EXPECT_TRUE(w.sim.run_until([&] { return fast.waiting(fast_pull) == 100; }, 1s));
  w.sim.advance(3s);  // less than the write deadline
  EXPECT_EQ(w.node->server().connection_count(), 3u);
  EXPECT_LT(w.consumer_info(c, "S", "SLOW")["num_ack_pending"], 100);
  slow.resume_reading();
  EXPECT_TRUE(w.sim.run_until([&] { return slow.waiting(slow_pull) == 100; }, 5s)) << slow.waiting(slow_pull);
  EXPECT_EQ(w.node->server().counters().slow_consumers_pending, 0u);
}

}  // namespace
}  // namespace sluice::test
