// Power cuts and kills: what a client was told stays true.
#include <map>
#include <set>

#include "node_world.h"

namespace sluice::test {
namespace {

using Lines = std::vector<std::string>;
constexpr uint64_t kSeeds = 12;

struct Outcome {
  size_t acked = 0;
  size_t lost = 0;  ///< acked, and gone or another
};

/// Publishes at random moments against a slow disk, crashes, looks whether every acked message is there.
Outcome crash_in_the_middle(uint64_t seed, Crash kind, bool lying_disk = false) {
  NodeWorld w(seed);
  w.options.store.journal_file_bytes = 64 * kKiB;
  w.sim.disk().set_lying_sync(lying_disk);
  w.start();
  std::map<uint64_t, std::string> acked;  // seq → payload
  for (int life = 0; life < 3; ++life) {
    auto& c = w.client("c");
    if (life == 0) w.make_stream(c, "S", "s.*");
    w.sim.settle();
    w.sim.disk_workers().set_latency(100us, 5ms);
    std::map<std::string, std::string> sent;  // inbox → payload
    const uint64_t count = w.sim.random().between(20, 80);
    for (uint64_t i = 0; i < count; ++i) {
      const std::string payload = fmt::format("{}.{}.{}", life, i, std::string(w.sim.random().below(900), 'x'));
      sent[c.request(fmt::format("s.{}", i % 3), payload)] = payload;
      w.sim.advance(std::chrono::microseconds(w.sim.random().below(500)));
    }
    for (const auto& [inbox, payload] : sent) {
      for (const Received& got : c.take(inbox)) {
        const Json ack = Json::parse(got.payload, nullptr, false);
        if (lying_disk && !ack.contains("seq")) continue;  // the stream itself is gone
        EXPECT_TRUE(ack.contains("seq") && !ack.contains("error")) << got.payload;
        const bool first = acked.emplace(ack.value("seq", uint64_t{0}), payload).second;
        EXPECT_TRUE(first || lying_disk) << "sequence given twice";
      }
    }
    w.sim.disk_workers().set_latency(0ns, 0ns);
    w.restart(kind);
  }
  Outcome out{.acked = acked.size(), .lost = 0};
  Stream* stream = w.node->streams().find("S");
  for (const auto& [seq, payload] : acked) {
    const auto stored = stream == nullptr ? std::nullopt : stream->store().load(StreamSeq(seq));
    if (!stored || stored->payload != payload) ++out.lost;
  }
  return out;
}

TEST(NodeCrash, AckedMessagesSurvive) {
  for (Crash kind : {Crash::kPower, Crash::kKill}) {
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SCOPED_TRACE(fmt::format("{} seed {}", kind == Crash::kPower ? "power cut" : "kill", seed));
      const Outcome out = crash_in_the_middle(seed, kind);
      EXPECT_GT(out.acked, 0u);
      EXPECT_EQ(out.lost, 0u);
    }
  }
}

/// The same on a disk whose syncs do nothing must lose something, or the test above sees nothing.
TEST(NodeCrash, ALyingDiskIsNoticed) {
  size_t lost = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) lost += crash_in_the_middle(seed, Crash::kPower, true).lost;
  EXPECT_GT(lost, 0u);
}

TEST(NodeCrash, ConsumersResumeAtTheirAckFloor) {
  for (Crash kind : {Crash::kPower, Crash::kKill}) {
    NodeWorld w;
    w.start();
    auto* c = &w.client("c");
    w.make_stream(*c, "S", "s");
    w.make_consumer(*c, "S", "C", R"(,"ack_wait":1000000000)");
    for (int i = 1; i <= 10; ++i) w.publish(*c, "s", fmt::format("{}", i));
    const auto first = w.pull(*c, "S", "C", 6);
    ASSERT_EQ(first.size(), 6u);
    for (size_t i : {0, 1, 2, 4}) w.ack_sync(*c, first[i]);
    w.restart(kind);

    c = &w.client("c");
    Json info = w.consumer_info(*c, "S", "C");
    EXPECT_EQ(info["ack_floor"]["stream_seq"], 3) << info.dump();
    EXPECT_EQ(info["num_ack_pending"], 2) << info.dump();
    EXPECT_EQ(info["num_pending"], 4) << info.dump();
    w.sim.advance(3s);  // past ack_wait: 4 and 6 come again
    std::set<uint64_t> seqs;
    for (const Received& m : w.pull(*c, "S", "C", 20)) {
      seqs.insert(delivered_seq(m));
      w.ack(*c, m);
    }
    EXPECT_EQ(seqs, (std::set<uint64_t>{4, 6, 7, 8, 9, 10}));
    w.sim.settle();
    info = w.consumer_info(*c, "S", "C");
    EXPECT_EQ(info["ack_floor"]["stream_seq"], 10);
    EXPECT_EQ(info["num_ack_pending"], 0);
  }
}

TEST(NodeCrash, WorkQueueAcrossAPowerCut) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NodeWorld w(seed);
    w.start();
    auto* c = &w.client("c");
    w.make_stream(*c, "Q", "q", R"(,"retention":"workqueue")");
    w.make_consumer(*c, "Q", "W", R"(,"ack_wait":1000000000)");
    for (int i = 1; i <= 10; ++i) w.publish(*c, "q", fmt::format("{}", i));
    const auto work = w.pull(*c, "Q", "W", 6);
    ASSERT_EQ(work.size(), 6u);
    w.ack_sync(*c, work[1]);
    w.ack_sync(*c, work[3]);
    w.ack(*c, work[0]);  // may or may not have reached the disk
    w.restart(Crash::kPower);

    c = &w.client("c");
    w.sim.advance(3s);
    std::set<std::string> done;
    for (const Received& m : w.pull(*c, "Q", "W", 20)) {
      EXPECT_TRUE(done.insert(m.payload).second);
      w.ack_sync(*c, m);
    }
    done.erase("1");
    EXPECT_EQ(done, (std::set<std::string>{"10", "3", "5", "6", "7", "8", "9"}));
    const Json state = w.stream_state(*c, "Q");
    EXPECT_EQ(state["messages"], 0) << state.dump();
    EXPECT_EQ(state["last_seq"], 10);
    EXPECT_EQ(w.publish(*c, "q", "next")["seq"], 11);
  }
}

TEST(NodeCrash, PushConsumerGoesOnWhenItsReaderIsBack) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "S", "s");
  w.make_consumer(*c, "S", "P", R"(,"deliver_subject":"out","ack_wait":1000000000)");
  c->subscribe("out");
  for (int i = 1; i <= 3; ++i) w.publish(*c, "s", fmt::format("{}", i));
  const auto first = c->take("out");
  ASSERT_EQ(payloads(first), Lines({"1", "2", "3"}));
  w.ack_sync(*c, first[0]);
  w.ack_sync(*c, first[1]);
  w.restart(Crash::kPower);
  c = &w.client("c");
  w.publish(*c, "s", "4");
  w.sim.settle();
  EXPECT_EQ(w.consumer_info(*c, "S", "P")["num_pending"], 1);
  c->subscribe("out");
  w.sim.advance(3s);
  std::set<std::string> seen;
  for (const Received& m : c->take("out")) seen.insert(m.payload);
  EXPECT_EQ(seen, (std::set<std::string>{"3", "4"}));
}

TEST(NodeCrash, RecoveredEphemeralConsumerStillExpires) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "S", "s");
  const Json made = w.api(*c, "CONSUMER.CREATE.S", R"({"stream_name":"S","config":{"ack_policy":"explicit",)"
                                                   R"("inactive_threshold":60000000000}})");
  ASSERT_TRUE(made.contains("name")) << made.dump();
  w.restart(Crash::kPower);
  EXPECT_EQ(w.node->consumers().count("S"), 1u);
  w.sim.advance(30s);
  EXPECT_EQ(w.node->consumers().count("S"), 1u);
  w.sim.advance(100s);
  EXPECT_EQ(w.node->consumers().count("S"), 0u);
  w.restart(Crash::kPower);
  EXPECT_EQ(w.node->consumers().count("S"), 0u);
}

TEST(NodeCrash, CutInsideRecoveryIsRecoveredToo) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NodeWorld w(seed);
    w.options.store.journal_file_bytes = 64 * kKiB;
    w.start();
    auto* c = &w.client("c");
    w.make_stream(*c, "S", "s", R"(,"retention":"interest")");
    w.make_consumer(*c, "S", "A");
    w.make_consumer(*c, "S", "B");
    for (int i = 1; i <= 20; ++i) w.publish(*c, "s", fmt::format("{} {}", i, std::string(5000, 'x')));
    for (const Received& m : w.pull(*c, "S", "A", 20)) w.ack_sync(*c, m);
    for (const Received& m : w.pull(*c, "S", "B", 12)) w.ack_sync(*c, m);
    for (int cut = 0; cut < 4; ++cut) {
      w.crash(Crash::kPower);
      w.sim.disk().crash_after_ops(w.sim.random().between(1, 12));
      auto made = Node::make(w.sim.env(), w.options);
      if (made) {
        w.node = *std::move(made);
        w.sim.settle();
      }
    }
    w.sim.disk().crash_after_ops(0);
    w.restart(Crash::kPower);
    c = &w.client("c");
    const Json state = w.stream_state(*c, "S");
    EXPECT_EQ(state["messages"], 8) << state.dump();
    EXPECT_EQ(state["first_seq"], 13) << state.dump();
    EXPECT_EQ(state["last_seq"], 20) << state.dump();
    EXPECT_EQ(w.consumer_info(*c, "S", "A")["ack_floor"]["stream_seq"], 20);
    EXPECT_EQ(w.consumer_info(*c, "S", "B")["ack_floor"]["stream_seq"], 12);
  }
}

TEST(NodeCrash, DuplicatesAreKnownAfterAKill) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "S", "s");
  const std::string id = "NATS/1.0\r\nNats-Msg-Id: once\r\n\r\n";
  EXPECT_EQ(w.publish(*c, "s", "m", id)["seq"], 1);
  w.restart(Crash::kPower);
  c = &w.client("c");
  const Json again = w.publish(*c, "s", "m", id);
  EXPECT_EQ(again["seq"], 1);
  EXPECT_EQ(again["duplicate"], true);
}

TEST(NodeCrash, DeletedThingsStayDeleted) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "S", "s");
  w.make_stream(*c, "T", "t");
  w.make_consumer(*c, "S", "C");
  w.make_consumer(*c, "S", "D");
  for (int i = 1; i <= 4; ++i) w.publish(*c, "s", fmt::format("{}", i));
  EXPECT_EQ(w.api(*c, "STREAM.MSG.DELETE.S", R"({"seq":2})")["success"], true);
  EXPECT_EQ(w.api(*c, "STREAM.DELETE.T")["success"], true);
  EXPECT_EQ(w.api(*c, "CONSUMER.DELETE.S.D")["success"], true);
  w.restart(Crash::kPower);
  c = &w.client("c");
  EXPECT_EQ(w.api(*c, "STREAM.NAMES")["streams"], Json::array({"S"}));
  EXPECT_EQ(w.api(*c, "CONSUMER.NAMES.S")["consumers"], Json::array({"C"}));
  EXPECT_EQ(w.api(*c, "STREAM.MSG.GET.S", R"({"seq":2})")["error"]["err_code"], 10037);
  EXPECT_EQ(payloads(w.pull(*c, "S", "C", 9)), Lines({"1", "3", "4"}));
}

TEST(NodeCrash, MemoryStreamsAreGoneAndTheirNamesFree) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "M", "m", R"(,"storage":"memory")");
  EXPECT_EQ(w.publish(*c, "m", "x")["seq"], 1);
  w.restart(Crash::kKill);
  c = &w.client("c");
  EXPECT_EQ(w.api(*c, "STREAM.INFO.M")["error"]["err_code"], 10059);
  w.make_stream(*c, "M", "m", R"(,"storage":"memory")");
  EXPECT_EQ(w.publish(*c, "m", "x")["seq"], 1);
}

}  // namespace
}  // namespace sluice::test
