// A purge that takes many turns of the loop: its answer, and a crash in its midst.
#include "node_world.h"

namespace sluice::test {
namespace {

constexpr int kMessages = 6000;

void fill(NodeWorld& w, NodeClient& c) {
  w.make_stream(c, "S", "a.*", R"(,"allow_direct":true)");
  for (int i = 0; i < kMessages; ++i) {
    c.publish(i % 2 == 0 ? "a.0" : "a.1", "x");
    if (i % 500 == 499) w.sim.settle();
  }
  w.sim.settle();
  ASSERT_EQ(w.stream_state(c, "S")["messages"], kMessages);
}

TEST(NodePurge, AnswersWhenAllOfItIsGone) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  fill(w, c);
  c.subscribe("$JS.EVENT.ADVISORY.API");
  EXPECT_EQ(w.api(c, "STREAM.PURGE.S", R"({"filter":"a.0"})")["purged"], kMessages / 2);
  EXPECT_EQ(w.stream_state(c, "S")["messages"], kMessages / 2);
  const auto audits = c.take("$JS.EVENT.ADVISORY.API");
  ASSERT_GE(audits.size(), 1u);
  const Json audit = Json::parse(audits[0].payload);
  EXPECT_EQ(audit["subject"], "$JS.API.STREAM.PURGE.S");
  EXPECT_EQ(audit["request"], R"({"filter":"a.0"})");
  w.restart(Crash::kPower);
  EXPECT_EQ(w.stream_state(w.client("d"), "S")["messages"], kMessages / 2);
}

/// The oldest of the filter's messages are gone, the others are there, and so is everything else.
TEST(NodePurge, ACrashInItsMidstLeavesWhatAShorterPurgeWould) {
  int in_part = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NodeWorld w(seed);
    w.start();
    auto& c = w.client("c");
    fill(w, c);
    w.sim.disk_workers().set_latency(10us, 200us);
    const std::string inbox = c.request("$JS.API.STREAM.PURGE.S", R"({"filter":"a.0"})");
    for (uint64_t rounds = w.sim.random().between(1, 40); rounds > 0; --rounds) {
      w.sim.run_round();
      w.sim.advance(std::chrono::microseconds(w.sim.random().below(30)));
    }
    const bool answered = c.waiting(inbox) > 0;
    w.sim.disk_workers().set_latency(0ns, 0ns);
    w.restart(seed % 2 == 0 ? Crash::kPower : Crash::kKill);
    StreamStore& store = w.node->streams().find("S")->store();
    const auto left = store.subject_state("a.0");
    const uint64_t kept = left ? left->count : 0;
    EXPECT_TRUE(!answered || kept == 0) << kept;
    if (kept > 0 && kept < kMessages / 2) ++in_part;
    EXPECT_EQ(store.subject_state("a.1")->count, uint64_t{kMessages / 2});
    EXPECT_TRUE(kept == 0 || left->first.value() == kMessages - 1 - 2 * (kept - 1)) << kept;
    auto& again = w.client("again");
    EXPECT_EQ(w.api(again, "STREAM.PURGE.S", R"({"filter":"a.0"})")["purged"], kept);
    EXPECT_EQ(w.stream_state(again, "S")["messages"], kMessages / 2);
  }
  EXPECT_GT(in_part, 0);
}

TEST(NodePurge, OfAStreamThatIsDeletedMeanwhileSaysSo) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  fill(w, c);
  const std::string purge = c.request("$JS.API.STREAM.PURGE.S", R"({"filter":"a.0"})");
  const std::string remove = c.request("$JS.API.STREAM.DELETE.S", "");
  w.sim.settle();
  ASSERT_EQ(c.waiting(purge), 1u);
  const Json told = Json::parse(c.take(purge)[0].payload);
  if (told.contains("error"))
    EXPECT_EQ(told["error"]["err_code"], 10059) << told.dump();
  else
    EXPECT_EQ(told["purged"], kMessages / 2);
  EXPECT_EQ(Json::parse(c.take(remove).at(0).payload)["success"], true);
}

}  // namespace
}  // namespace sluice::test
