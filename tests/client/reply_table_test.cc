#include "client/reply_table.h"

#include <gtest/gtest.h>

#include <map>

#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(ReplyTable, ExpiresInOrderWithOneTickOfDelayAtMost) {
  sim::SimEnv sim(1);
  std::vector<int> expired;
  ReplyTable<int> table(sim.env().clock, sim.env().timers, 10,
                        [&](int i) { expired.push_back(i); });
  (void)table.add(1, 100ms);
  (void)table.add(2, 100ms);
  (void)table.add(3, 60s);
  sim.advance(99ms);
  EXPECT_TRUE(expired.empty());
  sim.advance(30ms);
  EXPECT_EQ(expired, (std::vector<int>{1, 2}));
  sim.advance(59s);
  EXPECT_EQ(expired.size(), 2U);
  sim.advance(1s);
  EXPECT_EQ(expired.size(), 3U);
  EXPECT_EQ(table.size(), 0U);
}

TEST(ReplyTable, RefusesBeyondItsBoundAndStaleTokens) {
  sim::SimEnv sim(1);
  ReplyTable<int> table(sim.env().clock, sim.env().timers, 2, [](int) {});
  const auto a = table.add(1, 1s);
  (void)table.add(2, 1s);
  EXPECT_FALSE(table.add(3, 1s));
  EXPECT_EQ(table.take(*a), 1);
  EXPECT_FALSE(table.take(*a));
  const auto c = table.add(4, 1s);
  ASSERT_TRUE(c);
  EXPECT_FALSE(table.take(*a));
  EXPECT_EQ(table.take(*c), 4);
  EXPECT_FALSE(table.take(UINT64_MAX));
}

// Against a plain map: every entry comes back once, taken or expired, and none early.
TEST(ReplyTable, KeepsItsBooksUnderRandomUse) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    sim::SimEnv sim(seed);
    std::map<uint64_t, MonoTime> deadline_of;  // by value
    std::map<uint64_t, uint64_t> token_of;
    uint64_t next = 0;
    ReplyTable<uint64_t> table(sim.env().clock, sim.env().timers, 1000, [&](uint64_t value) {
      ASSERT_TRUE(deadline_of.contains(value));
      EXPECT_LE(deadline_of[value], sim.env().clock.now());
      EXPECT_GE(deadline_of[value] + 26ms, sim.env().clock.now());
      deadline_of.erase(value);
      token_of.erase(value);
    });
    for (int step = 0; step < 2000; ++step) {
      const uint64_t dice = sim.random().below(10);
      if (dice < 6) {
        const auto timeout = std::chrono::milliseconds(sim.random().below(15000));
        const uint64_t value = next++;
        if (const auto token = table.add(uint64_t{value}, timeout)) {
          deadline_of[value] = sim.env().clock.now() + timeout;
          token_of[value] = *token;
        }
      } else if (dice < 9 && !token_of.empty()) {
        auto it = token_of.lower_bound(sim.random().below(next));
        if (it == token_of.end()) it = token_of.begin();
        EXPECT_EQ(table.take(it->second), it->first);
        deadline_of.erase(it->first);
        token_of.erase(it);
      } else {
        sim.advance(std::chrono::milliseconds(sim.random().below(200)));
      }
      ASSERT_EQ(table.size(), deadline_of.size());
    }
    sim.advance(20s);
    EXPECT_TRUE(deadline_of.empty());
  }
}

}  // namespace
}  // namespace sluice
