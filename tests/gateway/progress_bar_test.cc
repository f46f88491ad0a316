#include "gateway/cli/progress_bar.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(ProgressRate, IsThatOfTheLastTenSeconds) {
  ProgressRate rate;
  rate.note(MonoTime(100s), 0);
  EXPECT_EQ(rate.per_second(), std::nullopt);
  rate.note(MonoTime(100'500ms), 1'000);
  EXPECT_EQ(rate.per_second(), std::nullopt) << "half a second says little";
  for (int tenths = 10; tenths <= 200; ++tenths) rate.note(MonoTime(100s) + tenths * 100ms, tenths * 200);
  ASSERT_TRUE(rate.per_second());
  EXPECT_NEAR(*rate.per_second(), 2'000, 1);
  for (int second = 1; second <= 12; ++second) rate.note(MonoTime(120s) + second * 1s, 40'000 + second * 10);
  EXPECT_NEAR(*rate.per_second(), 10, 0.1) << "what was before is forgotten";
}

TEST(ProgressRate, StaysAtNothingWhenItIsCountedAnew) {
  ProgressRate rate;
  rate.note(MonoTime(1s), 500);
  rate.note(MonoTime(3s), 20);
  EXPECT_EQ(rate.per_second(), 0);
}

TEST(ProgressText, TellsRateAndTimeLeft) {
  const std::string half = "[####################--------------------]  50% ";
  EXPECT_EQ(progress_text("healing", "messages", 500, 1'000, std::nullopt), "healing " + half + "500 messages");
  EXPECT_EQ(progress_text("healing", "messages", 500, 1'000, 50), "healing " + half + "500 messages, 50/s, 10s left");
  EXPECT_EQ(progress_text("healing", "messages", 500, 1'000, 0.1), "healing " + half + "500 messages, 0/s") << "nobody knows when";
  EXPECT_EQ(progress_text("import", "bytes", 1 << 20, 2 << 20, 1024), "import " + half + "1.0 MiB, 1.0 KiB/s, 17m4s left");
  const std::string full = "[########################################] 100% ";
  EXPECT_EQ(progress_text("healing", "messages", 1'000, 1'000, 50), "healing " + full + "1000 messages, 50/s");
  EXPECT_EQ(progress_text("comparing", "messages", 1'001, 1'000, 50), "comparing " + full + "1001 messages, 50/s") << "more came meanwhile";
  EXPECT_EQ(progress_text("x", "messages", 0, 0, std::nullopt), "x " + full + "0 messages");
}

}  // namespace
}  // namespace sluice
