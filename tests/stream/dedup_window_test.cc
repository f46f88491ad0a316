#include "stream/dedup_window.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace sluice {
namespace {

constexpr WallNanos kSecond = 1'000'000'000;

TEST(DedupWindow, RemembersForItsWindow) {
  DedupWindow window(std::chrono::seconds(2), 7, 100);
  EXPECT_FALSE(window.find("a", 0));
  window.insert("a", StreamSeq(5), 0);
  EXPECT_EQ(window.find("a", kSecond)->value(), 5U);
  EXPECT_FALSE(window.find("a", 2 * kSecond));
  EXPECT_EQ(window.size(), 0U);
}

TEST(DedupWindow, OffRemembersNothing) {
  DedupWindow window(std::chrono::seconds(0), 7, 100);
  window.insert("a", StreamSeq(5), 0);
  EXPECT_FALSE(window.find("a", 0));
}

TEST(DedupWindow, ForgetsTheOldestBeyondItsBound) {
  DedupWindow window(std::chrono::seconds(2), 7, 2);
  for (const char* id : {"a", "b", "c"}) window.insert(id, StreamSeq(1), 0);
  EXPECT_FALSE(window.find("a", 0));
  EXPECT_TRUE(window.find("c", 0));
  EXPECT_EQ(window.forgotten_early(), 1U);
}

/// Ten million ids must stay under 400 MB (bench/scale measures them); the figures of each are the same here.
TEST(DedupWindow, AnIdCostsUnderFortyBytes) {
  DedupWindow window(std::chrono::seconds(2), 7, 12'000'000);
  for (uint64_t i = 1; i <= 150'000; ++i) window.insert(std::to_string(i), StreamSeq(i), 0);
  EXPECT_LT(window.memory_bytes(), 40 * window.size());
  EXPECT_EQ(window.find("77777", 0)->value(), 77'777U);
}

/// Against a plain map, over many insertions and expiries.
TEST(DedupWindow, BehavesAsAMapWithExpiry) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  // The count of entries wraps on the way.
  DedupWindow window(std::chrono::seconds(10), random(), 1'000'000, UINT32_MAX - 4000ULL);
  std::map<std::string, std::pair<uint64_t, WallNanos>> model;
  WallNanos now = 0;
  for (uint64_t i = 1; i <= 20'000; ++i) {
    now += static_cast<WallNanos>(random() % (kSecond / 20));
    const std::string id = std::to_string(random() % 500);
    const auto known = model.find(id);
    const bool live = known != model.end() && now - known->second.second < 10 * kSecond;
    const auto found = window.find(id, now);
    ASSERT_EQ(found.has_value(), live) << i;
    if (live) {
      ASSERT_EQ(found->value(), known->second.first);
    } else {
      window.insert(id, StreamSeq(i), now);
      model[id] = {i, now};
    }
  }
}

}  // namespace
}  // namespace sluice
