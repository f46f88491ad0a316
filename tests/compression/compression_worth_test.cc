#include "compression/compression_worth.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr size_t kWrite_bytes = 64 * 1024;

struct Road {
  CompressionWorth worth;
  MonoTime now = 1h;
  bool compresses = true;

  /// So many bytes a second for so long.
  void carry(double rate_mib, std::chrono::nanoseconds time, bool waits) {
    const auto each = std::chrono::nanoseconds(static_cast<int64_t>(1e9 * kWrite_bytes / (rate_mib * 1024 * 1024)));
    for (const MonoTime end = now + time; now < end; now += each) compresses = worth.compresses(now, kWrite_bytes, waits);
  }
};

TEST(CompressionWorth, AWideRoadIsNotCompressed) {
  Road road;
  road.carry(100, 150ms, false);
  EXPECT_TRUE(road.compresses) << "looked at too short";
  road.carry(100, 100ms, false);
  EXPECT_FALSE(road.compresses);
  road.carry(150, 60s, false);
  EXPECT_FALSE(road.compresses);
  road.carry(150, 60s, true);
  EXPECT_FALSE(road.compresses) << "it waits at times, but carries more than before";
}

TEST(CompressionWorth, LittleIsCompressedAndSoIsWhatWaits) {
  Road road;
  road.carry(20, 60s, false);
  EXPECT_TRUE(road.compresses);
  road.carry(100, 60s, true);
  EXPECT_TRUE(road.compresses);
}

TEST(CompressionWorth, WhatHasBecomeLittleIsCompressedAgainAtOnce) {
  Road road;
  road.carry(100, 1s, false);
  ASSERT_FALSE(road.compresses);
  road.carry(1, 500ms, false);
  EXPECT_TRUE(road.compresses);
  road.carry(100, 1s, false);
  EXPECT_FALSE(road.compresses);
}

TEST(CompressionWorth, ARoadThatWasNotThatWideIsTriedMoreAndMoreSeldom) {
  Road road;
  for (const auto rest : {30s, 60s, 120s}) {
    road.carry(100, 500ms, false);  // of which a quarter crossed the network
    ASSERT_FALSE(road.compresses);
    road.carry(40, 500ms, true);
    ASSERT_TRUE(road.compresses);
    road.carry(100, rest - 1s, false);
    EXPECT_TRUE(road.compresses) << rest.count();
    road.carry(100, 1s, false);
  }
  EXPECT_FALSE(road.compresses);
}

}  // namespace
}  // namespace sluice
