#include "base/large_memory.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace sluice {
namespace {

TEST(LargeMemoryStock, GivesAPieceToTheNextWhoAsksForNoMore) {
  LargeMemoryStock stock(2);
  LargePiece first = stock.take(3 * kMiB);
  const std::byte* const at = first.memory.get();
  EXPECT_EQ(first.bytes, 3 * kMiB);
  stock.give_back(std::move(first));
  EXPECT_EQ(stock.size(), 1u);
  LargePiece larger = stock.take(4 * kMiB);
  EXPECT_NE(larger.memory.get(), at) << "the one that is kept is too small";
  LargePiece smaller = stock.take(2 * kMiB);
  EXPECT_EQ(smaller.memory.get(), at);
  EXPECT_EQ(smaller.bytes, 3 * kMiB) << "it is still as large as it was";
  EXPECT_EQ(stock.size(), 0u);
}

TEST(LargeMemoryStock, KeepsNoMoreThanItMay) {
  LargeMemoryStock stock(1);
  stock.give_back({});
  EXPECT_EQ(stock.size(), 0u) << "nothing is no piece";
  LargePiece one = stock.take(kMiB);
  LargePiece two = stock.take(kMiB);
  stock.give_back(std::move(one));
  stock.give_back(std::move(two));
  EXPECT_EQ(stock.size(), 1u);
  stock.clear();
  EXPECT_EQ(stock.size(), 0u);
}

}  // namespace
}  // namespace sluice
