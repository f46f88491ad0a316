#include "subject/subject_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sluice {
namespace {

std::vector<int> matches(SubjectTree<int>& tree, std::string_view literal) {
  std::vector<int> found;
  tree.match(literal, [&](int& value) { found.push_back(value); });
  std::sort(found.begin(), found.end());
  return found;
}

TEST(SubjectTree, MatchesAndForgets) {
  SubjectTree<int> tree;
  EXPECT_TRUE(tree.insert("foo.bar", 1));
  EXPECT_TRUE(tree.insert("foo.*", 2));
  EXPECT_TRUE(tree.insert("foo.>", 3));
  EXPECT_TRUE(tree.insert(">", 4));
  EXPECT_TRUE(tree.insert("foo.bar", 5));
  EXPECT_EQ(matches(tree, "foo.bar"), (std::vector<int>{1, 2, 3, 4, 5}));
  EXPECT_EQ(matches(tree, "foo.bar.baz"), (std::vector<int>{3, 4}));
  EXPECT_EQ(matches(tree, "foo"), (std::vector<int>{4}));
  EXPECT_EQ(matches(tree, "foo.*"), (std::vector<int>{2, 3, 4}));
  EXPECT_TRUE(matches(tree, "foo..bar").empty());
  EXPECT_TRUE(matches(tree, "foo.").empty());
  EXPECT_TRUE(matches(tree, "").empty());
  const uint64_t before = tree.generation();
  EXPECT_FALSE(tree.erase("foo.bar", 9));
  EXPECT_FALSE(tree.erase("foo.baz", 1));
  EXPECT_EQ(tree.generation(), before);
  EXPECT_TRUE(tree.erase("foo.bar", 1));
  EXPECT_GT(tree.generation(), before);
  EXPECT_EQ(matches(tree, "foo.bar"), (std::vector<int>{2, 3, 4, 5}));
  EXPECT_EQ(tree.size(), 4u);
}

TEST(SubjectTree, RefusesWhatIsNoSubscription) {
  SubjectTree<int> tree;
  EXPECT_FALSE(tree.insert("", 1));
  EXPECT_FALSE(tree.insert("a..b", 1));
  EXPECT_FALSE(tree.insert("a.>.b", 1));
  EXPECT_EQ(tree.size(), 0u);
}

TEST(SubjectTree, BoundsDepth) {
  SubjectTree<int> tree;
  std::string at_limit = "t";
  for (size_t i = 1; i < kMaxSubjectTokens; ++i) at_limit += ".t";
  EXPECT_TRUE(tree.insert(at_limit, 1));
  EXPECT_FALSE(tree.insert(at_limit + ".t", 2));
  std::string rest = at_limit.substr(0, at_limit.size() - 1) + ">";
  EXPECT_TRUE(tree.insert(rest, 3));
  EXPECT_EQ(matches(tree, at_limit), (std::vector<int>{1, 3}));
  EXPECT_EQ(matches(tree, at_limit + ".t.t"), (std::vector<int>{3}));
  EXPECT_TRUE(matches(tree, at_limit + ".t.").empty());
}

std::string random_subject(std::mt19937& random, bool wildcards) {
  std::string subject;
  const size_t count = 1 + random() % 4;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) subject += '.';
    const auto pick = random() % (wildcards ? 6 : 4);
    if (pick < 4) {
      subject += "token" + std::to_string(pick);
    } else if (pick == 4 || i + 1 < count) {
      subject += '*';
    } else {
      subject += '>';
    }
  }
  return subject;
}

TEST(SubjectTree, AgreesWithAList) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    SubjectTree<int> tree;
    std::vector<std::pair<std::string, int>> list;
    for (int round = 0; round < 3000; ++round) {
      if (random() % 5 < 3 || list.empty()) {
        const std::string subject = random_subject(random, true);
        const int value = static_cast<int>(random() % 10);
        ASSERT_TRUE(tree.insert(subject, value));
        list.emplace_back(subject, value);
      } else {
        const auto victim = list.begin() + static_cast<ptrdiff_t>(random() % list.size());
        ASSERT_TRUE(tree.erase(victim->first, victim->second));
        list.erase(victim);
      }
      // Empties the tree now and then, so that every node is pruned.
      if (round % 1000 == 999) {
        for (const auto& [subject, value] : list) ASSERT_TRUE(tree.erase(subject, value));
        list.clear();
      }
      const std::string literal = random_subject(random, false);
      std::vector<int> expected;
      for (const auto& [subject, value] : list) {
        if (subject_matches(subject, literal)) expected.push_back(value);
      }
      std::sort(expected.begin(), expected.end());
      ASSERT_EQ(matches(tree, literal), expected) << literal;
      ASSERT_EQ(tree.has_match(literal), !expected.empty()) << literal;
      ASSERT_EQ(tree.size(), list.size());
    }
  }
}

TEST(SubjectTree, TellsHowMuchOfALiteralDecided) {
  SubjectTree<int> tree;
  const auto decided = [&](std::string_view literal) { return tree.match(literal, [](int&) {}); };
  EXPECT_EQ(decided("a.b"), 0u);  // nobody is there
  tree.insert("acks.stream.consumer.>", 1);
  EXPECT_EQ(decided("acks.stream.consumer.1.2"), std::string_view("acks.stream.consumer.").size());
  EXPECT_EQ(decided("acks.stream.consumer"), std::string_view::npos);
  EXPECT_EQ(decided("acks.other.consumer.1"), std::string_view("acks.other.").size());
  EXPECT_EQ(decided("acks.stream..1"), std::string_view::npos);
  tree.insert(">", 2);
  EXPECT_EQ(decided("acks.stream.consumer.1.2"), std::string_view("acks.stream.consumer.").size());
  tree.insert("*.*.*.*.2", 3);
  EXPECT_EQ(decided("acks.stream.consumer.1.2"), std::string_view::npos);
  EXPECT_EQ(decided("acks.stream.consumer.1.2.3"), std::string_view("acks.stream.consumer.1.2.").size());
}

TEST(SubjectTree, WhatDecidedDecidesForAllThatBeginsSo) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    size_t shared = 0;
    for (int round = 0; round < 300; ++round) {
      SubjectTree<int> tree;
      for (int i = 0; i < static_cast<int>(random() % 8); ++i) tree.insert(random_subject(random, true), i);
      for (int i = 0; i < 20; ++i) {
        const std::string literal = random_subject(random, false);
        const size_t decided = tree.match(literal, [](int&) {});
        if (decided == std::string_view::npos) continue;
        ++shared;
        const std::string other = literal.substr(0, decided) + random_subject(random, false);
        ASSERT_EQ(matches(tree, literal), matches(tree, other)) << literal << " and " << other;
      }
    }
    EXPECT_GT(shared, 100u);
  }
}

TEST(SubjectTree, ManyChildrenComeAndGo) {
  SubjectTree<int> tree;
  for (int i = 0; i < 5000; ++i) tree.insert("device." + std::to_string(i) + ".state", i);
  for (int i = 0; i < 5000; i += 2)
    EXPECT_TRUE(tree.erase("device." + std::to_string(i) + ".state", i));
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(tree.has_match("device." + std::to_string(i) + ".state"), i % 2 == 1) << i;
  }
}

}  // namespace
}  // namespace sluice
