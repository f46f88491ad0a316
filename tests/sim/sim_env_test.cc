#include "sim/sim_env.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;

TEST(SimEnv, TimersFireInOrderOfTimeThenOfStart) {
  SimEnv sim(1);
  std::string order;
  auto a = sim.env().timers.make([&] { order += 'a'; });
  auto b = sim.env().timers.make([&] { order += 'b'; });
  auto c = sim.env().timers.make([&] { order += 'c'; });
  a->start(2s);
  b->start(1s);
  c->start(2s);
  sim.run_until_idle();
  EXPECT_EQ(order, "");
  const MonoTime start = sim.clock().now();
  sim.advance(1500ms);
  EXPECT_EQ(order, "b");
  EXPECT_EQ(sim.clock().now() - start, 1500ms);
  sim.advance(500ms);
  EXPECT_EQ(order, "bac");
  EXPECT_FALSE(a->active());
}

TEST(SimEnv, TimerCanBeRestartedStoppedAndDestroyedInItsOwnCallback) {
  SimEnv sim(1);
  int fired = 0;
  std::unique_ptr<Timer> timer;
  timer = sim.env().timers.make([&] {
    if (++fired == 3) {
      timer.reset();
    } else {
      timer->start(0ns);
    }
  });
  timer->start(1s);
  timer->start(5s);
  sim.advance(4s);
  EXPECT_EQ(fired, 0);
  sim.advance(1s);
  EXPECT_EQ(fired, 3);
  auto stopped = sim.env().timers.make([&] { ++fired; });
  stopped->start(1s);
  stopped->stop();
  sim.advance(2s);
  EXPECT_EQ(fired, 3);
}

TEST(SimEnv, WallClockJumpsAlone) {
  SimEnv sim(1);
  const WallNanos wall = sim.clock().wall();
  const MonoTime now = sim.clock().now();
  sim.clock().jump_wall(-3600s);
  EXPECT_EQ(sim.clock().wall() - wall, -3'600'000'000'000);
  EXPECT_EQ(sim.clock().now(), now);
  sim.advance(1s);
  EXPECT_EQ(sim.clock().wall() - wall, -3'599'000'000'000);
}

TEST(SimEnv, RoundEndRunsPhasesInOrderAndEarlierOnesAgain) {
  SimEnv sim(1);
  std::string order;
  Executor& executor = sim.env().executor;
  executor.post([&] {
    executor.at_round_end(RoundPhase::kFlush, [&] { order += 'f'; });
    executor.at_round_end(RoundPhase::kCommit, [&] {
      order += 'c';
      executor.at_round_end(RoundPhase::kDeliver, [&] { order += 'D'; });
    });
    executor.at_round_end(RoundPhase::kDeliver, [&] { order += 'd'; });
    order += 'p';
  });
  EXPECT_TRUE(sim.run_round());
  EXPECT_EQ(order, "pdcDf");
  EXPECT_FALSE(sim.run_round());
}

TEST(SimEnv, RoundEndIsBounded) {
  SimEnv sim(1);
  int runs = 0;
  std::function<void()> again = [&] {
    if (++runs < 1000) sim.env().executor.at_round_end(RoundPhase::kDeliver, [&] { again(); });
  };
  again();
  sim.run_round();
  EXPECT_EQ(runs, 1 + SimExecutor::kMaxPasses);
  sim.run_until_idle();
  EXPECT_EQ(runs, 1000);
}

TEST(SimEnv, MailboxIsBoundedAndDrainedInOrder) {
  SimEnv sim(1);
  auto box = sim.env().mailboxes.make(2);
  std::string order;
  EXPECT_TRUE(box->post([&] { order += '1'; }));
  EXPECT_TRUE(box->post([&] { order += '2'; }));
  EXPECT_FALSE(box->post([&] { order += '3'; }));
  EXPECT_EQ(box->size(), 2U);
  sim.run_until_idle();
  EXPECT_EQ(order, "12");
  EXPECT_TRUE(box->post([&] { order += '4'; }));
  box.reset();
  sim.run_until_idle();
  EXPECT_EQ(order, "12");
}

TEST(SimEnv, PollerTellsOnlyWhatIsWanted) {
  SimEnv sim(1);
  int calls = 0;
  auto handle = sim.env().poller.watch(7, [&](bool readable, bool writable) {
    ++calls;
    EXPECT_TRUE(readable);
    EXPECT_FALSE(writable);
  });
  EXPECT_FALSE(sim.poller().fire(7, true, true));
  handle->want(true, false);
  EXPECT_TRUE(sim.poller().fire(7, true, true));
  EXPECT_FALSE(sim.poller().fire(8, true, true));
  handle.reset();
  EXPECT_FALSE(sim.poller().fire(7, true, true));
  EXPECT_EQ(calls, 1);
}

TEST(SimEnv, RunUntilStopsAtThePredicateOrTheTime) {
  SimEnv sim(1);
  int fired = 0;
  std::unique_ptr<Timer> timer;
  timer = sim.env().timers.make([&] {
    ++fired;
    timer->start(1s);
  });
  timer->start(1s);
  EXPECT_TRUE(sim.run_until([&] { return fired == 5; }, 100s));
  EXPECT_EQ(fired, 5);
  EXPECT_FALSE(sim.run_until([&] { return fired == 50; }, 10s));
  EXPECT_EQ(fired, 15);
}

std::vector<uint64_t> trace(uint64_t seed) {
  SimEnv sim(seed);
  sim.disk_workers().set_latency(10us, 900us);
  std::vector<uint64_t> out;
  std::vector<std::unique_ptr<DiskWorker>> workers;
  for (uint64_t i = 0; i < 6; ++i) {
    workers.push_back(sim.env().disk_workers.make("w"));
    for (uint64_t k = 0; k < 3; ++k)
      workers.back()->submit([] { return Status{}; }, [&out, i, k](Status) { out.push_back(i * 10 + k); });
  }
  EXPECT_TRUE(sim.settle());
  out.push_back(static_cast<uint64_t>(sim.clock().now().count()));
  out.push_back(sim.env().random.u64());
  return out;
}

TEST(SimEnv, SameSeedSameRunOtherSeedOtherRun) {
  EXPECT_EQ(trace(42), trace(42));
  EXPECT_NE(trace(42), trace(43));
}

TEST(SimEnv, CrashDropsPendingTasks) {
  SimEnv sim(1);
  int runs = 0;
  sim.env().executor.post([&] { ++runs; });
  sim.env().executor.at_round_end(RoundPhase::kFlush, [&] { ++runs; });
  sim.crash(Crash::kKill);
  sim.run_until_idle();
  EXPECT_EQ(runs, 0);
}

}  // namespace
}  // namespace sluice::sim
