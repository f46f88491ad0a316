#include "base/time_format.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(Rfc3339, CutsTrailingZeros) {
  EXPECT_EQ(format_rfc3339(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_rfc3339(1'500'000'000), "1970-01-01T00:00:01.5Z");
  EXPECT_EQ(format_rfc3339(1'772'549'357'000'000'001), "2026-03-03T14:49:17.000000001Z");
  EXPECT_EQ(format_rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(format_rfc3339(kZeroTime), "0001-01-01T00:00:00Z");
}

TEST(Rfc3339, ParsesOffsetsAndRoundTrips) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T01:00:00+01:00"), 0);
  EXPECT_EQ(parse_rfc3339("0001-01-01T00:00:00Z"), kZeroTime);
  // A clock of nanoseconds ends in 2262.
  EXPECT_EQ(parse_rfc3339("9999-12-31T23:59:59Z"), parse_rfc3339("2261-12-31T23:59:59.999999999Z"));
  EXPECT_EQ(parse_rfc3339("0800-12-25T12:00:00Z"), parse_rfc3339("1678-01-01T00:00:00Z"));
  EXPECT_EQ(parse_rfc3339("2026-02-30T00:00:00Z"), std::nullopt);
  EXPECT_EQ(parse_rfc3339("2026-02-03 00:00:00Z"), std::nullopt);
  EXPECT_EQ(parse_rfc3339("2026-02-03T00:00:00"), std::nullopt);
  for (WallNanos t : {WallNanos{0}, WallNanos{1'772'549'357'123'456'789}, WallNanos{-999}}) {
    EXPECT_EQ(parse_rfc3339(format_rfc3339(t)), t);
  }
}

TEST(GoDuration, FormatsAsGoDoes) {
  EXPECT_EQ(format_go_duration(0ns), "0s");
  EXPECT_EQ(format_go_duration(1500ms), "1.5s");
  EXPECT_EQ(format_go_duration(250ms), "250ms");
  EXPECT_EQ(format_go_duration(1h), "1h0m0s");
  EXPECT_EQ(format_go_duration(90s), "1m30s");
  EXPECT_EQ(format_go_duration(1001ns), "1.001µs");
  EXPECT_EQ(format_go_duration(-2s), "-2s");
}

TEST(GoDuration, ParsesGosGrammar) {
  EXPECT_EQ(parse_go_duration("1h30m"), 90min);
  EXPECT_EQ(parse_go_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_go_duration("-250ms"), -250ms);
  EXPECT_EQ(parse_go_duration("0"), 0ns);
  EXPECT_EQ(parse_go_duration("10"), std::nullopt);
  EXPECT_EQ(parse_go_duration(""), std::nullopt);
  EXPECT_EQ(parse_go_duration("1d"), std::nullopt);
  EXPECT_EQ(parse_go_duration(".s"), std::nullopt);
  EXPECT_EQ(parse_go_duration("9999999999h"), std::nullopt);
  EXPECT_EQ(parse_go_duration("2562047h47m16.854775806s"), std::chrono::nanoseconds(INT64_MAX - 1));
  EXPECT_EQ(parse_go_duration("2562047h47m17s"), std::nullopt);
}

}  // namespace
}  // namespace sluice
