// Several writers on one target: order is kept for each subject, nothing is lost or doubled.
#include <gtest/gtest.h>

#include <random>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Each source message once, by subject in the source's order.
void expect_complete(CopyWorld& w) {
  std::map<std::string, std::vector<std::string>> from, to;
  for (auto& [seq, message] : w.source.streams["SOURCE"].messages) from[message.subject].push_back(message.payload);
  for (auto& [seq, message] : w.target.streams["TARGET"].messages) {
    if (find_provenance(message.headers, kCopyMark)) to[message.subject].push_back(message.payload);
  }
  EXPECT_EQ(to, from);
}

TEST(SharedTarget, IsNoticedByItselfAndFilledBesideTheOthers) {
  CopyWorld w(1);
  w.fill(100);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.start();
  for (int i = 0; i < 20; ++i) {
    w.sim.advance(5ms);
    w.target.store("TARGET", "s.x", "", "not ours either");
  }
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_TRUE(w.position().shared);
  expect_complete(w);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 100, .copied = 100}));
}

TEST(SharedTarget, AKillWithoutAnyMemoryFindsItsPlaceByTheMarks) {
  CopyWorld w(2);
  w.fill(60);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.start();
  w.sim.run_until([&] { return w.target.streams["TARGET"].messages.size() > 20; }, 10s);
  w.kill();
  (void)w.sim.disk().remove("/data/state/SOURCE_reg.position");
  w.target.store("TARGET", "s.x", "", "not ours");
  w.target.streams["TARGET"].ids.clear();  // long after the window of ids
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  expect_complete(w);
  EXPECT_EQ(w.ledger().copied, 60u);
}

TEST(SharedTarget, LosesAndDoublesNothingWhateverIsLostOnTheWay) {
  const uint64_t base = std::random_device{}();
  for (uint64_t seed = base; seed < base + 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CopyWorld w(seed);
    w.options.target_writers = TargetWriters::kShared;
    w.source.faults = {.lose_delivery = 1, .fail_call = 5};
    w.target.faults = {.lose_ack = 1, .lose_publish = 1, .late_publish = 1, .fail_call = 5};
    w.fill(200);
    w.start();
    for (int i = 0; i < 4; ++i) {
      w.sim.advance(std::chrono::milliseconds(w.sim.random().below(3000)));
      w.target.store("TARGET", "s.x", "", "not ours");
      w.kill();
      w.start();
      w.fill(30);
    }
    w.source.faults = {};
    w.target.faults = {};
    ASSERT_TRUE(w.run_until_passed()) << w.copy->figures().last_error;
    w.sim.advance(2s);
    expect_complete(w);
    EXPECT_EQ(w.ledger(), (Ledger{.read = 320, .copied = 320}));
  }
}

TEST(SharedTarget, WhatIsPurgedWhileItIsLookedThroughIsNotWaitedFor) {
  CopyWorld w(3);
  w.fill(20);
  for (int i = 0; i < 5; ++i) w.target.store("TARGET", "s.x", "", "not ours");
  w.target.before_consumer = [&] { w.target.purge_below("TARGET", 6); };
  w.start();
  ASSERT_TRUE(w.run_until_passed(60s));
  expect_complete(w);
}

}  // namespace
}  // namespace sluice
