// What is gone at the source before it was copied: noticed, counted, handled by the policy.
#include <gtest/gtest.h>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct Gaps : testing::Test {
  CopyWorld w{1};
  void copy_all() {
    w.start();
    ASSERT_TRUE(w.run_until_passed());
    w.sim.advance(3s);
  }
  void with_policy(OnGap policy) { w.options.on_gap = policy; }
};

TEST_F(Gaps, MessagesDeletedOneByOneCountAsRemoved) {
  w.fill(100);
  for (uint64_t seq : {10, 11, 50, 99}) w.source.streams["SOURCE"].messages.erase(seq);
  copy_all();
  w.expect_equal();
  EXPECT_EQ(w.ledger(), (Ledger{.read = 100, .copied = 96, .removed = 4}));
  EXPECT_EQ(w.copy->figures().gaps, 0u);
}

TEST_F(Gaps, AFrontThatWentBetweenTwoRunsCountsAsPurged) {
  w.fill(50);
  copy_all();
  w.kill();
  w.fill(50);
  w.source.purge_below("SOURCE", 71);
  copy_all();
  EXPECT_EQ(w.ledger(), (Ledger{.read = 100, .copied = 80, .purged = 20}));
  EXPECT_EQ(w.copy->figures().gaps, 1u);
  EXPECT_NE(w.copy->figures().last_gap.find("20 messages"), std::string::npos) << w.copy->figures().last_gap;
}

TEST_F(Gaps, AFrontThatGoesWhileReadingIsToldApartFromDeletions) {
  w.fill(40);
  copy_all();
  w.source.silent = true;  // not read for a while
  w.fill(60);
  w.source.purge_below("SOURCE", 81);
  w.source.streams["SOURCE"].messages.erase(90);
  w.source.silent = false;
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.ledger(), (Ledger{.read = 100, .copied = 59, .removed = 1, .purged = 40}));
  EXPECT_EQ(w.copy->figures().gaps, 1u);
}

TEST_F(Gaps, PurgedToNothingIsNoticedWithoutAnyMessage) {
  w.fill(50);
  copy_all();
  w.kill();
  w.fill(10);
  w.source.purge_below("SOURCE", 61);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.ledger(), (Ledger{.read = 60, .copied = 50, .purged = 10}));
}

TEST_F(Gaps, StopWaitsForAPersonWhoMayResetIt) {
  with_policy(OnGap::kStop);
  w.fill(50);
  copy_all();
  w.kill();
  w.fill(50);
  w.source.purge_below("SOURCE", 71);
  w.start();
  w.sim.advance(5s);
  EXPECT_EQ(w.copy->figures().state, CopyState::kBlocked);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 50u);
  w.copy->reset(StreamSeq(71));
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 80u);
}

TEST_F(Gaps, StopHoldsAlsoWhenTheFrontGoesWhileReading) {
  with_policy(OnGap::kStop);
  w.fill(40);
  copy_all();
  w.source.silent = true;
  w.fill(60);
  w.source.purge_below("SOURCE", 81);
  w.source.silent = false;
  w.sim.advance(5s);
  EXPECT_EQ(w.copy->figures().state, CopyState::kBlocked);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 40u);
}

TEST_F(Gaps, AResetCopiesAnewInOneGoThoughTheTargetKnowsEveryId) {
  w.fill(20);
  for (int i = 0; i < 20; ++i) w.source.store("SOURCE", "s.a", "NATS/1.0\r\nNats-Msg-Id: own" + std::to_string(i) + "\r\n\r\n", "x");
  copy_all();
  const auto sessions = w.copy->figures().sessions;
  w.copy->reset(std::nullopt);
  w.sim.advance(5s);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 80u);
  EXPECT_EQ(w.copy->figures().sessions, sessions + 1);
  EXPECT_EQ(find_header(w.target.streams["TARGET"].messages[80].headers, "Sluice-Original-Msg-Id"), "own19");
}

TEST_F(Gaps, RestartCopiesAnew) {
  with_policy(OnGap::kRestart);
  w.options.message_ids = false;
  w.fill(50);
  copy_all();
  w.kill();
  w.fill(50);
  w.source.purge_below("SOURCE", 71);
  copy_all();
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 80u);
  EXPECT_EQ(w.ledger().purged, 20u);
}

TEST_F(Gaps, ASourceMadeAnewIsCopiedFromItsBeginning) {
  w.fill(50);
  copy_all();
  w.fill(7);  // seen by the watch, never read
  w.kill();
  w.source.streams["SOURCE"] = FakeStream{.created = 2, .messages = {}, .ids = {}};
  w.filled = 0;
  w.fill(60);
  copy_all();
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 110u);
  EXPECT_EQ(w.copy->figures().gaps, 1u);
  EXPECT_EQ(w.ledger().copied, 110u);
  w.kill();  // and the next start knows the new life
  w.fill(5);
  copy_all();
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 115u);
  EXPECT_EQ(w.copy->figures().gaps, 0u);
}

TEST_F(Gaps, ASourceMadeAnewStopsWhenToldSo) {
  with_policy(OnGap::kStop);
  w.fill(50);
  copy_all();
  w.kill();
  w.source.streams["SOURCE"] = FakeStream{.created = 2, .messages = {}, .ids = {}};
  w.filled = 0;
  w.fill(60);
  w.start();
  w.sim.advance(2s);
  EXPECT_EQ(w.copy->figures().state, CopyState::kBlocked);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 50u);
}

TEST_F(Gaps, ASourceRestoredToAnOlderStateIsNoticed) {
  w.fill(50);
  copy_all();
  w.kill();
  auto& stream = w.source.streams["SOURCE"];
  stream.messages.erase(stream.messages.lower_bound(31), stream.messages.end());
  stream.last_seq = 30;
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.copy->figures().gaps, 1u);
  EXPECT_NE(w.copy->figures().last_gap.find("older state"), std::string::npos);
}

TEST_F(Gaps, AStallIsToldWithinTenSecondsThoughEveryConnectionStands) {
  w.fill(10);
  copy_all();
  EXPECT_FALSE(w.copy->lag().stalled);
  EXPECT_EQ(w.copy->lag().messages, 0u);
  w.target.silent = true;
  w.fill(10);
  w.sim.advance(10s);
  EXPECT_TRUE(w.copy->lag().stalled);
  EXPECT_EQ(w.copy->lag().messages, 10u);
  EXPECT_GT(w.copy->lag().seconds.value_or(0), 7.0);
  w.target.silent = false;
  ASSERT_TRUE(w.run_until_passed());
  w.sim.advance(3s);
  EXPECT_FALSE(w.copy->lag().stalled);
}

TEST_F(Gaps, ASourceThatSaysNothingIsAStallToo) {
  w.fill(10);
  copy_all();
  w.source.silent = true;
  w.sim.advance(10s);
  EXPECT_TRUE(w.copy->lag().stalled);
}

}  // namespace
}  // namespace sluice
