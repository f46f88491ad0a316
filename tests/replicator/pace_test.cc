#include "replicator/pace.h"

#include <gtest/gtest.h>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr WallNanos kNewYear2026 = 1'767'225'600'000'000'000;
constexpr WallNanos kHour = 3'600'000'000'000;

PaceOptions office_hours(const char* zone) {
  return {.rate = 200 * 1024, .zone = zone, .schedule = {{.from = 8h, .to = 18h, .rate = 50 * 1024}}};
}

TEST(Pace, HoldsByTheClockOnTheWall) {
  const Pace berlin = *Pace::make(office_hours("Europe/Berlin"));
  EXPECT_EQ(berlin.rate_at(kNewYear2026 + 7 * kHour - 1), 200u * 1024);  // 07:59:59 there
  EXPECT_EQ(berlin.rate_at(kNewYear2026 + 7 * kHour), 50u * 1024);
  EXPECT_EQ(berlin.rate_at(kNewYear2026 + 17 * kHour - 1), 50u * 1024);
  EXPECT_EQ(berlin.rate_at(kNewYear2026 + 17 * kHour), 200u * 1024);
  const WallNanos in_july = kNewYear2026 + 181 * 24 * kHour;
  EXPECT_EQ(berlin.rate_at(in_july + 6 * kHour), 50u * 1024);  // summer time: 08:00 is an hour earlier
  EXPECT_EQ(berlin.rate_at(in_july + 16 * kHour), 200u * 1024);
}

TEST(Pace, GoesOverMidnightAndTheFirstThatFitsHolds) {
  const Pace pace = *Pace::make({.rate = 0,
                                 .zone = "UTC",
                                 .schedule = {{.from = 23h, .to = 1h, .rate = 1}, {.from = 0h, .to = 24h, .rate = 2}}});
  EXPECT_EQ(pace.rate_at(kNewYear2026 + 23 * kHour), 1u);
  EXPECT_EQ(pace.rate_at(kNewYear2026 + kHour / 2), 1u);
  EXPECT_EQ(pace.rate_at(kNewYear2026 + kHour), 2u);
  EXPECT_EQ(pace.rate_at(-kHour / 2), 1u);  // before 1970, where remainders are negative
}

TEST(Pace, KnowsNoSuchZone) {
  EXPECT_EQ(Pace::make(office_hours("Europe/Atlantis")).error().code, Errc::kInvalidArgument);
  EXPECT_TRUE(Pace::make(office_hours("Local")));
}

TEST(Pace, WaitsForWhatIsOwed) {
  Pace pace = *Pace::make({.rate = 1000, .zone = "UTC", .schedule = {}});
  EXPECT_EQ(pace.wait(10s, 0), 0s);
  pace.sent(550);  // 50 of it are unused time
  EXPECT_EQ(pace.wait(10s, 0), 500ms);
  EXPECT_EQ(pace.wait(10s + 400ms, 0), 100ms);
  EXPECT_EQ(pace.wait(10s + 500ms, 0), 0s);
  pace.sent(1'000'000);
  EXPECT_EQ(pace.wait(10s + 500ms, 0), Pace::kLook);
  EXPECT_EQ(pace.wait(3h, 0), 0s);
  pace.sent(1000);
  EXPECT_EQ(pace.wait(3h, 0), 950ms) << "an idle night is not saved up";
}

struct PacedCopy : testing::Test {
  void begin(PaceOptions pace, size_t messages, size_t bytes) {
    auto options = copy_options();
    options.pace = std::move(pace);
    w.emplace(1, options);
    for (size_t i = 0; i < messages; ++i)
      w->source.store("SOURCE", "s.x", "", std::string(bytes, 'x'), w->sim.clock().wall());
  }
  size_t arrived() { return w->target.streams["TARGET"].messages.size(); }
  /// Bytes a second that went out in this time.
  double rate_over(std::chrono::seconds time) {
    const uint64_t before = w->copy->figures().sent_bytes;
    w->sim.advance(time);
    return static_cast<double>(w->copy->figures().sent_bytes - before) / static_cast<double>(time.count());
  }
  std::optional<CopyWorld> w;
};

TEST_F(PacedCopy, SendsAsFastAsItMayAndNoFaster) {
  begin({.rate = 20'000, .zone = "UTC", .schedule = {}}, 2000, 700);
  w->start();
  w->sim.advance(2s);
  EXPECT_NEAR(rate_over(30s), 20'000, 200);
  EXPECT_EQ(w->copy->figures().pace_rate, 20'000u);
  ASSERT_TRUE(w->run_until_passed());
  w->expect_equal();
}

TEST_F(PacedCopy, ChangesWithTheHour) {
  begin(office_hours("UTC"), 60'000, 1000);
  w->sim.clock().set_wall(kNewYear2026 + 8 * kHour - 30'000'000'000);
  w->start();
  w->sim.advance(2s);
  EXPECT_NEAR(rate_over(20s), 200 * 1024, 4096);
  w->sim.advance(10s);
  EXPECT_NEAR(rate_over(20s), 50 * 1024, 1024);
  EXPECT_EQ(w->copy->figures().pace_rate, 50u * 1024);
}

TEST_F(PacedCopy, AMessageThatTakesAMinuteIsNoStallAndTheLagIsKnownMeanwhile) {
  begin({.rate = 1000, .zone = "UTC", .schedule = {}}, 3, 60'000);
  w->start();
  w->sim.advance(5s);
  ASSERT_EQ(arrived(), 1u);
  w->source.store("SOURCE", "s.x", "", "one more", w->sim.clock().wall());
  w->sim.advance(3s);  // the question about the source's end does not stand behind what is paced
  EXPECT_EQ(w->copy->lag().messages, 3u);
  for (int i = 0; i < 40; ++i) {
    w->sim.advance(1s);
    ASSERT_FALSE(w->copy->lag().stalled) << i;
  }
  EXPECT_EQ(arrived(), 1u);
  ASSERT_TRUE(w->run_until_passed());
  EXPECT_EQ(arrived(), 4u);
}

TEST_F(PacedCopy, ADeadTargetIsAStallAllTheSame) {
  begin({.rate = 1000, .zone = "UTC", .schedule = {}}, 100, 500);
  w->start();
  w->sim.advance(5s);
  w->target.silent = true;
  w->sim.advance(20s);
  EXPECT_TRUE(w->copy->lag().stalled);
}

TEST_F(PacedCopy, ANewSessionStartsWithTheOldDebt) {
  begin({.rate = 1000, .zone = "UTC", .schedule = {}}, 20, 30'000);
  w->target.faults.lose_ack = 100;  // each session sends one, and hears nothing
  w->start();
  w->sim.advance(300s);
  EXPECT_LE(w->copy->figures().sent_bytes, 300u * 1000 + 31'000);
  EXPECT_GE(w->copy->figures().sessions, 3u);
}

}  // namespace
}  // namespace sluice
