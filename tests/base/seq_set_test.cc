#include "base/seq_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace sluice {
namespace {

TEST(SeqSet, JoinsNeighbours) {
  SeqSet set;
  EXPECT_TRUE(set.insert(5));
  EXPECT_TRUE(set.insert(7));
  EXPECT_TRUE(set.insert(6));
  EXPECT_FALSE(set.insert(6));
  EXPECT_EQ(set.ranges().size(), 1u);
  EXPECT_EQ(set.next_absent(5), 8u);
  EXPECT_EQ(set.next_absent(4), 4u);
}

TEST(SeqSet, AgreesWithAPlainSet) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  SeqSet set;
  std::set<uint64_t> model;
  for (int i = 0; i < 5000; ++i) {
    uint64_t a = random() % 200 + 1;
    switch (random() % 4) {
      case 0: EXPECT_EQ(set.insert(a), model.insert(a).second); break;
      case 1: EXPECT_EQ(set.erase(a), model.erase(a) == 1); break;
      case 2: {
        uint64_t b = a + random() % 20;
        uint64_t added = 0;
        for (uint64_t k = a; k <= b; ++k) added += model.insert(k).second ? 1 : 0;
        EXPECT_EQ(set.insert_range(a, b), added);
        break;
      }
      default:
        if (random() % 50 == 0) {
          set.erase_below(a);
          model.erase(model.begin(), model.lower_bound(a));
        }
    }
    ASSERT_EQ(set.size(), model.size());
    ASSERT_EQ(set.contains(a), model.contains(a));
    uint64_t expected = a;
    while (model.contains(expected)) ++expected;
    ASSERT_EQ(set.next_absent(a), expected);
  }
}

}  // namespace
}  // namespace sluice
