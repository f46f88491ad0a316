#include "uv/loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "uv/env.h"
#include "uv/signals.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

// Every test ends with ~Loop, which stops the process unless uv_loop_close returned 0.

TEST(Loop, RunReturnsWhenNothingIsLeft) {
  Loop loop;
  int ran = 0;
  loop.executor().post([&] { ++ran; });
  loop.run();
  EXPECT_EQ(ran, 1);
}

TEST(Loop, TaskPostedByATaskRunsInALaterRound) {
  Loop loop;
  std::string order;
  loop.executor().post([&] {
    loop.executor().post([&] { order += "c"; });
    loop.executor().at_round_end(RoundPhase::kFlush, [&] { order += "b"; });
    order += "a";
  });
  loop.run();
  EXPECT_EQ(order, "abc");
}

TEST(Loop, PhasesRunInOrderAndEarlierOnesAgainInTheSameRound) {
  Loop loop;
  std::string order;
  auto& executor = loop.executor();
  executor.post([&] {
    executor.at_round_end(RoundPhase::kFlush, [&] {
      order += "F";
      if (order.size() < 6) {
        executor.at_round_end(RoundPhase::kDeliver, [&] { order += "d"; });
        executor.at_round_end(RoundPhase::kFlush, [&] { order += "f"; });
      }
    });
    executor.at_round_end(RoundPhase::kCommit, [&] { order += "C"; });
    executor.at_round_end(RoundPhase::kDeliver, [&] { order += "D"; });
    executor.post([&] { order += "|"; });
  });
  loop.run();
  EXPECT_EQ(order, "DCFdf|");
}

TEST(Loop, EndlessRoundEndIsCutAndGoesOnInTheNextRound) {
  Loop loop;
  int ran = 0;
  std::function<void()> again = [&] {
    if (++ran < 1000) loop.executor().at_round_end(RoundPhase::kDeliver, [&] { again(); });
  };
  loop.executor().post([&] { again(); });
  loop.run_until([&] { return ran == 1000; }, 5s);
  EXPECT_EQ(ran, 1000);
  EXPECT_GE(loop.lag().round_end_cut_short, 10u);
}

TEST(Loop, DroppedTasksAreDestroyedWithTheLoop) {
  auto held = std::make_shared<int>(1);
  {
    Loop loop;
    loop.executor().post([held] {});
    loop.executor().at_round_end(RoundPhase::kCommit, [held] {});
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(Loop, NowStandsStillWithinARoundAndMovesBetween) {
  Loop loop;
  MonoTime first{0};
  MonoTime later{0};
  bool same = false;
  loop.executor().post([&] {
    first = loop.clock().now();
    for (int i = 0; i < 100'000; ++i) same = loop.clock().now() == first;
    loop.executor().at_round_end(RoundPhase::kFlush,
                                 [&] { same = same && loop.clock().now() == first; });
    loop.executor().post([&] { later = loop.clock().now(); });
  });
  loop.run();
  EXPECT_TRUE(same);
  EXPECT_GT(later, first);
  EXPECT_GT(loop.clock().wall(), 1'600'000'000'000'000'000);
}

TEST(Loop, MeasuresHowLongARoundKeptItBusy) {
  Loop loop;
  loop.executor().post([&] {
    // The first round is only the start of the measure.
    loop.executor().post([&] {
      timespec begin{};
      timespec now{};
      clock_gettime(CLOCK_MONOTONIC, &begin);
      do {
        clock_gettime(CLOCK_MONOTONIC, &now);
      } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1'000'000 < 60);
      loop.executor().post([] {});
    });
  });
  loop.run();
  EXPECT_GE(loop.lag().max, 50ms);
  // A busy machine may slow further rounds, never make them fewer.
  EXPECT_GE(loop.lag().slow_rounds, 1u);
  EXPECT_LE(loop.lag().last, loop.lag().max);
}

TEST(Loop, WaitingIsNotBeingBusy) {
  UvEnv world;
  bool fired = false;
  auto timer = world.env().timers.make([&] { fired = true; });
  Signals signals(world.loop(), {SIGUSR2}, [](int) {});
  constexpr auto kWait = 400ms;
  timer->start(kWait);
  kill(getpid(), SIGUSR2);
  world.loop().run();
  EXPECT_TRUE(fired);
  EXPECT_LT(world.loop().lag().max, kWait);
}

TEST(Timers, FireOnceNotEarlyAndInOrder) {
  UvEnv world;
  auto& env = world.env();
  std::string order;
  MonoTime start = env.clock.now();
  MonoTime fired{0};
  auto slow = env.timers.make([&] {
    order += "s";
    fired = env.clock.now();
  });
  auto fast = env.timers.make([&] { order += "f"; });
  slow->start(5ms);
  fast->start(-1s);
  EXPECT_TRUE(slow->active());
  world.loop().run();
  EXPECT_EQ(order, "fs");
  EXPECT_GE(fired - start, 5ms);
  EXPECT_FALSE(slow->active());
}

TEST(Timers, StopRestartAndHugeDelay) {
  UvEnv world;
  int fired = 0;
  auto timer = world.env().timers.make([&] { ++fired; });
  timer->start(0ms);
  timer->stop();
  auto never = world.env().timers.make([&] { fired += 100; });
  never->start(std::chrono::nanoseconds::max());
  auto again = world.env().timers.make([&] {
    if (++fired < 3) timer->start(1ms);
  });
  again->start(0ms);
  EXPECT_TRUE(world.loop().run_until([&] { return fired == 2; }, 5s));
}

/// Work in slices starts its timer anew with no delay: what else is due must not wait for the last slice.
TEST(Timers, OneThatStartsItselfAnewLetsTheLoopGoOn) {
  UvEnv world;
  bool posted = false;
  int fired = 0;
  std::unique_ptr<Timer> timer;
  timer = world.env().timers.make([&] {
    if (++fired == 1) world.env().executor.post([&] { posted = true; });
    if (!posted && fired < 1000) timer->start(0ns);
  });
  timer->start(0ns);
  world.loop().run();
  EXPECT_TRUE(posted);
  EXPECT_LT(fired, 1000);
}

TEST(Timers, CallbackMayDestroyItsTimer) {
  UvEnv world;
  std::unique_ptr<Timer> timer;
  bool fired = false;
  timer = world.env().timers.make([&] {
    fired = true;
    timer.reset();
  });
  timer->start(0ms);
  world.loop().run();
  EXPECT_TRUE(fired);
}

TEST(Signals, ReachTheLoop) {
  UvEnv world;
  int got = 0;
  Signals signals(world.loop(), {SIGUSR1, SIGHUP}, [&](int number) { got = number; });
  kill(getpid(), SIGUSR1);
  EXPECT_TRUE(world.loop().run_until([&] { return got == SIGUSR1; }, 5s));
}

TEST(Mailbox, DrainsWholeFromManyThreads) {
  UvEnv world;
  auto box = world.env().mailboxes.make(100'000);
  int ran = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([box, &ran] {
      for (int i = 0; i < 1000; ++i) ASSERT_TRUE(box->post([&ran] { ++ran; }));
    });
  }
  EXPECT_TRUE(world.loop().run_until([&] { return ran == 4000; }, 10s));
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(box->size(), 0u);
}

TEST(Mailbox, RefusesWhenFullAndAfterItsEnd) {
  std::shared_ptr<Mailbox> box;
  {
    UvEnv world;
    box = world.env().mailboxes.make(2);
    EXPECT_TRUE(box->post([] {}));
    EXPECT_TRUE(box->post([] {}));
    EXPECT_FALSE(box->post([] {}));
    EXPECT_EQ(box->size(), 2u);
  }
  EXPECT_FALSE(box->post([] {}));
}

TEST(Mailbox, LastReferenceMayGoOnAnotherThread) {
  UvEnv world;
  auto box = world.env().mailboxes.make(10);
  auto held = std::make_shared<int>(1);
  bool ran = false;
  box->post([held, &ran] { ran = true; });
  std::thread([box = std::move(box)]() mutable { box.reset(); }).join();
  EXPECT_TRUE(world.loop().run_until([&] { return held.use_count() == 1; }, 5s));
  EXPECT_FALSE(ran);
  world.loop().run();  // returns: the mailbox no longer keeps the loop
}

TEST(Mailbox, TaskMayDropTheMailbox) {
  UvEnv world;
  auto box = world.env().mailboxes.make(10);
  bool second = false;
  box->post([&] { box.reset(); });
  box->post([&] { second = true; });
  world.loop().run();
  EXPECT_FALSE(second);
}

TEST(Poller, TellsReadiness) {
  UvEnv world;
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  int readable = 0;
  int writable = 0;
  {
    auto in = world.env().poller.watch(fds[0], [&](bool r, bool) { readable += r ? 1 : 0; });
    auto out = world.env().poller.watch(fds[1], [&](bool, bool w) { writable += w ? 1 : 0; });
    in->want(true, false);
    out->want(false, true);
    EXPECT_TRUE(world.loop().run_until([&] { return writable > 0; }, 5s));
    EXPECT_EQ(readable, 0);
    out->want(false, false);
    ASSERT_EQ(write(fds[1], "x", 1), 1);
    EXPECT_TRUE(world.loop().run_until([&] { return readable > 0; }, 5s));
  }
  close(fds[0]);
  close(fds[1]);
}

TEST(Random, DiffersBetweenTwo) {
  UvEnv a;
  UvEnv b;
  EXPECT_NE(a.env().random.u64(), b.env().random.u64());
  EXPECT_LT(a.env().random.below(7), 7u);
}

struct Sink final : MetricSink {
  std::map<std::string, double> values;
  void counter(std::string_view n, std::string_view, const MetricLabels&, double v) override {
    values[std::string(n)] = v;
  }
  void gauge(std::string_view n, std::string_view, const MetricLabels&, double v) override {
    values[std::string(n)] = v;
  }
};

TEST(UvEnv, CollectsItsFigures) {
  UvEnv world;
  world.env().executor.post([] {});
  world.loop().run();
  Sink sink;
  world.collect(sink);
  EXPECT_GE(sink.values.at("sluice_loop_rounds_total"), 1);
  EXPECT_EQ(sink.values.at("sluice_mailbox_refused_total"), 0);
  EXPECT_EQ(sink.values.count("sluice_accepted_connections_total"), 1u);
}

}  // namespace
}  // namespace sluice
