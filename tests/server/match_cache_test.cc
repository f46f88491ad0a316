// What the match cache remembers, and that lists in use stay as they are.
#include "server/match_cache.h"

#include <gtest/gtest.h>

#include <memory>
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
  constexpr uint64_t kOnce = 20'000;  // several at each set
  for (uint64_t i = 0; i < kOnce; ++i) EXPECT_EQ(matches("inbox." + std::to_string(i)), 1U);
  const uint64_t hits = cache.hits();
  matches("inbox.hot");
  EXPECT_EQ(cache.hits(), hits + 1);
}

/// A thousand streams written in turn: hardly any of their subjects may have to be matched again.
TEST_F(MatchCacheTest, AThousandSubjectsInTurnAreKept) {
  constexpr uint64_t kSubjects = 1000;
  const auto round = [&] {
    for (uint64_t i = 0; i < kSubjects; ++i) EXPECT_EQ(matches("inbox.PUBLISH" + std::to_string(i)), 1U);
  };
  for (int i = 0; i < 20; ++i) round();
  const uint64_t misses = cache.misses();
  round();
  EXPECT_LE(cache.misses() - misses, kSubjects / 50);
}

TEST_F(MatchCacheTest, TheOnlySubscriberIsNamed) {
  EXPECT_EQ(cache.find("inbox.a", tree).only, &inboxes);
  FakeSubscription more("inbox.a");
  add(more);
  EXPECT_EQ(cache.find("inbox.a", tree).only, nullptr);
  tree.erase("inbox.a", &more);
  EXPECT_EQ(cache.find("inbox.a", tree).only, &inboxes);
  EXPECT_EQ(cache.find("nobody.there", tree).only, nullptr);
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
  EXPECT_EQ(first.subject.view(), "inbox.first");
  --first.users;
  EXPECT_EQ(cache.find("nobody.there", tree).plain.size(), 0U);
}

TEST_F(MatchCacheTest, WhatBeginsAlikeSharesAList) {
  FakeSubscription acks("acks.s.c.>");
  add(acks);
  EXPECT_EQ(matches("acks.s.c.1.1"), 1U);
  const uint64_t misses = cache.misses();
  for (int i = 2; i < 100; ++i) EXPECT_EQ(matches("acks.s.c.1." + std::to_string(i)), 1U);
  EXPECT_EQ(cache.misses(), misses);
  // What is no subject, or begins otherwise, is not taken for one of them.
  for (const char* other : {"acks.s.c", "acks.s.c.", "acks.s.c..1", "acks.s.c.1.", "acks.s.c.1..2", "acks.s.d.1", "acks.s.cc.1"})
    EXPECT_EQ(matches(other), 0U) << other;
  FakeSubscription one("acks.s.c.*.7");
  add(one);
  EXPECT_EQ(matches("acks.s.c.1.7"), 2U);
  EXPECT_EQ(matches("acks.s.c.1.8"), 1U);
  tree.erase(one.subject(), &one);
  EXPECT_EQ(matches("acks.s.c.1.7"), 1U);
  tree.erase(acks.subject(), &acks);
  EXPECT_EQ(matches("acks.s.c.1.7"), 0U);
}

TEST_F(MatchCacheTest, AListOfABeginningInUseStaysAsItIs) {
  FakeSubscription acks("acks.s.c.>");
  FakeSubscription others("others.>");
  add(acks);
  add(others);
  MatchList& first = cache.find("acks.s.c.1", tree);
  ++first.users;
  EXPECT_EQ(&cache.find("acks.s.c.2", tree), &first);
  EXPECT_NE(&cache.find("others.1", tree), &first);
  FakeSubscription more("acks.s.c.3");
  add(more);
  EXPECT_EQ(cache.find("acks.s.c.3", tree).plain.size(), 2U);
  EXPECT_EQ(first.plain.size(), 1U);
  --first.users;
  for (const FakeSubscription* s : {&acks, &others, &more}) tree.erase(s->subject(), const_cast<FakeSubscription*>(s));
}

TEST_F(MatchCacheTest, LongSubjectsAreNeverRemembered) {
  const std::string subject = "inbox." + std::string(MatchCache::kMaxSubject_bytes, 'x');
  for (int i = 0; i < 3; ++i) EXPECT_EQ(matches(subject), 1U);
  EXPECT_EQ(cache.hits(), 0U);
}

}  // namespace
}  // namespace sluice
