// What the match cache remembers, and that lists in use stay as they are.
#include "server/match_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

class FakeSubscription : public Subscription {
 public:
  explicit FakeSubscription(std::string_view subject) : Subscription(1, subject, "") {}
  bool take(const Message&, const Origin&) override { return true; }
  bool congested() const override { return false; }
};

class MatchCacheTest : public ::testing::Test {
 protected:
  MatchCacheTest() { add(inboxes); }
  ~MatchCacheTest() override { tree.erase(inboxes.subject(), &inboxes); }
  void add(Subscription& s) { ASSERT_TRUE(tree.insert(s.subject(), &s)); }
  size_t matches(std::string_view subject) { return cache.find(subject, tree).plain.size(); }

  FakeSubscription inboxes{"inbox.*"};
  SubscriptionTree tree;
  MatchCache cache;
};

TEST_F(MatchCacheTest, ASubjectIsRememberedWhenItComesAgain) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(matches("inbox.a"), 1U);
  EXPECT_EQ(cache.misses(), 2U);
  EXPECT_EQ(cache.hits(), 3U);
}

TEST_F(MatchCacheTest, SubjectsThatComeOnceDoNotEvict) {
  for (int i = 0; i < 2; ++i) matches("inbox.hot");
  constexpr uint64_t kOnce = 20'000;  // several at each slot
  for (uint64_t i = 0; i < kOnce; ++i) EXPECT_EQ(matches("inbox." + std::to_string(i)), 1U);
  const uint64_t hits = cache.hits();
  matches("inbox.hot");
  EXPECT_EQ(cache.hits(), hits + 1);
}

TEST_F(MatchCacheTest, AChangeOfTheTreeIsSeenAtOnce) {
  for (int i = 0; i < 3; ++i) matches("inbox.a");
  FakeSubscription more("inbox.a");
  add(more);
  EXPECT_EQ(matches("inbox.a"), 2U);
  EXPECT_EQ(matches("inbox.b"), 1U);
  tree.erase("inbox.a", &more);
  EXPECT_EQ(matches("inbox.a"), 1U);
}

TEST_F(MatchCacheTest, AListInUseIsNotComputedAnew) {
  MatchList& first = cache.find("inbox.first", tree);
  ++first.users;
  MatchList& nested = cache.find("inbox.nested", tree);
  EXPECT_NE(&first, &nested);
  EXPECT_EQ(first.subject, "inbox.first");
  --first.users;
  EXPECT_EQ(cache.find("nobody.there", tree).plain.size(), 0U);
}

TEST_F(MatchCacheTest, LongSubjectsAreNeverRemembered) {
  const std::string subject = "inbox." + std::string(MatchCache::kMaxSubject_bytes, 'x');
  for (int i = 0; i < 3; ++i) EXPECT_EQ(matches(subject), 1U);
  EXPECT_EQ(cache.hits(), 0U);
}

}  // namespace
}  // namespace sluice
