#include "subject/subject_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "subject/subject.h"

namespace sluice {
namespace {

/// What both ways of asking find.
std::vector<std::string> keys(SubjectIndex<int>& index, std::string_view filter) {
  std::vector<std::string> found;
  std::vector<std::string> unordered;
  const auto into = [](std::vector<std::string>& to) {
    return [&to](std::string_view subject, const int&) {
      to.emplace_back(subject);
      return true;
    };
  };
  index.each_match(filter, into(found));
  index.each_match_unordered(filter, into(unordered));
  std::ranges::sort(unordered, [](std::string_view a, std::string_view b) { return a < b; });
  EXPECT_EQ(unordered, found) << filter;
  return found;
}

TEST(SubjectIndex, FindsInsertsErases) {
  SubjectIndex<int> index;
  EXPECT_EQ(index.find("a"), nullptr);
  index.get_or_insert("foo") = 1;
  index.get_or_insert("foo.bar") = 2;
  index.get_or_insert("foo.baz") = 3;
  index.get_or_insert("fo") = 4;
  EXPECT_EQ(index.size(), 4u);
  EXPECT_EQ(*index.find("foo"), 1);
  EXPECT_EQ(*index.find("foo.bar"), 2);
  EXPECT_EQ(index.find("foo.ba"), nullptr);
  EXPECT_EQ(index.find("foo.barr"), nullptr);
  EXPECT_EQ(index.get_or_insert("fo"), 4);
  EXPECT_EQ(keys(index, ""), (std::vector<std::string>{"fo", "foo", "foo.bar", "foo.baz"}));
  EXPECT_EQ(keys(index, "foo.*"), (std::vector<std::string>{"foo.bar", "foo.baz"}));
  EXPECT_EQ(keys(index, "foo"), (std::vector<std::string>{"foo"}));
  EXPECT_TRUE(keys(index, "foo.bar.>").empty());
  EXPECT_TRUE(index.erase("foo"));
  EXPECT_FALSE(index.erase("foo"));
  EXPECT_FALSE(index.erase("foo.b"));
  EXPECT_EQ(keys(index, ">"), (std::vector<std::string>{"fo", "foo.bar", "foo.baz"}));
}

TEST(SubjectIndex, StopsWhenTold) {
  SubjectIndex<int> index;
  for (const char* key : {"a", "b", "c"}) index.get_or_insert(key);
  int calls = 0;
  index.each_match("", [&](std::string_view, int&) { return ++calls < 2; });
  EXPECT_EQ(calls, 2);
}

TEST(SubjectIndex, OwnsItsValues) {
  auto counted = std::make_shared<int>(0);
  {
    SubjectIndex<std::shared_ptr<int>> index;
    index.get_or_insert("a.b") = counted;
    index.get_or_insert("a.c") = counted;
    index.get_or_insert("") = counted;
    EXPECT_TRUE(index.erase("a.b"));
    EXPECT_EQ(counted.use_count(), 3);
    SubjectIndex<std::shared_ptr<int>> moved = std::move(index);
    EXPECT_EQ(moved.size(), 2u);
    EXPECT_EQ(index.size(), 0u);
    index = std::move(moved);
    EXPECT_EQ(index.size(), 2u);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

std::string random_key(std::mt19937& random) {
  const char* tokens[] = {"a", "b", "ab", "device", "dev", "\xff", "long-token-for-a-change"};
  std::string key;
  const size_t count = 1 + random() % 4;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) key += '.';
    key += tokens[random() % 7];
    if (random() % 2 == 0) key += std::to_string(random() % 20);
  }
  return key;
}

std::string random_filter(std::mt19937& random) {
  std::string key = random_key(random);
  std::string filter;
  SubjectTokens tokens(key);
  for (std::string_view token; tokens.next(token);) {
    if (!filter.empty()) filter += '.';
    filter += random() % 3 == 0 ? "*" : std::string(token);
  }
  if (random() % 3 == 0) filter += ".>";
  return random() % 20 == 0 ? ">" : filter;
}

TEST(SubjectIndex, AgreesWithAMap) {
  for (const unsigned seed : {1u, 2u, 3u, 4u}) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    SubjectIndex<int> index;
    std::map<std::string, int> model;  // std::string compares bytes as unsigned
    for (int round = 0; round < 4000; ++round) {
      const std::string key = random_key(random);
      // Grows in the first half and shrinks in the second.
      if (random() % 10 < (round < 2000 ? 8u : 2u)) {
        index.get_or_insert(key) = round;
        model[key] = round;
      } else if (!model.empty()) {
        const auto near = model.lower_bound(key);
        const std::string victim = near == model.end() ? key : near->first;
        ASSERT_EQ(index.erase(victim), model.erase(victim) != 0);
      }
      ASSERT_EQ(index.size(), model.size());
      const auto known = model.find(key);
      const int* found = index.find(key);
      ASSERT_EQ(found != nullptr, known != model.end());
      if (found != nullptr) {
        ASSERT_EQ(*found, known->second);
      }
      if (round % 10 != 0) continue;
      const std::string filter = random_filter(random);
      std::vector<std::string> expected;
      for (const auto& [subject, value] : model) {
        if (subject_matches(filter, subject)) expected.push_back(subject);
      }
      ASSERT_EQ(keys(index, filter), expected) << filter;
    }
    std::vector<std::string> all;
    for (const auto& [subject, value] : model) all.push_back(subject);
    EXPECT_EQ(keys(index, ""), all);
    for (const std::string& subject : all) ASSERT_TRUE(index.erase(subject));
    EXPECT_EQ(index.memory_bytes(), 0u);
  }
}

TEST(SubjectIndex, LooksUpTokensBehindWildcards) {
  SubjectIndex<int> index;
  std::set<std::string> model;
  const auto add = [&](const std::string& key) {
    index.get_or_insert(key) = 1;
    model.insert(key);
  };
  for (int a = 0; a < 30; ++a) {
    for (int b = 0; b < 130; b += 1 + a % 3) {
      add("s." + std::to_string(a) + "." + std::to_string(b));
      if (b % 7 == 0) add("s." + std::to_string(a) + "." + std::to_string(b) + ".end");
    }
  }
  // What no publish stores, but a key may be.
  for (const char* odd : {"s", "s.", "s..7", "s.7", "s.7.", "s.7..end", "s.*.7", "s.7x.7", "s.7.7x"}) add(odd);
  std::vector<std::string> filters = {"s.*", "s.*.*", "s.*.*.end", "s.*.7.>", "s.>", "*.7.7", "*.*.7", "*.*.7.end", "s.*.*.x",
                                      "s.*.7x", "s.*.200", "*", "s.7x.*"};
  for (int b = 0; b < 130; ++b) filters.push_back("s.*." + std::to_string(b));
  for (int b = 0; b < 130; ++b) filters.push_back("*.*." + std::to_string(b) + ".end");
  for (const std::string& filter : filters) {
    std::vector<std::string> expected;
    std::copy_if(model.begin(), model.end(), std::back_inserter(expected),
                 [&](const std::string& key) { return subject_matches(filter, key); });
    EXPECT_EQ(keys(index, filter), expected) << filter;
  }
}

TEST(SubjectIndex, TakesEveryByteAndFanout) {
  SubjectIndex<int> index;
  for (int i = 0; i < 256; ++i) index.get_or_insert(std::string("k") + static_cast<char>(i)) = i;
  index.get_or_insert("k") = -1;
  for (int i = 0; i < 256; ++i) EXPECT_EQ(*index.find(std::string("k") + static_cast<char>(i)), i);
  for (int i = 0; i < 256; ++i) EXPECT_TRUE(index.erase(std::string("k") + static_cast<char>(i)));
  EXPECT_EQ(*index.find("k"), -1);
}

TEST(SubjectIndex, StaysLean) {
  struct Counts {
    uint32_t messages = 0;
    uint32_t slot = 0;
  };
  SubjectIndex<Counts> index;
  for (int i = 0; i < 20000; ++i)
    index.get_or_insert("factory.line" + std::to_string(i % 40) + ".sensor." + std::to_string(i));
  EXPECT_LT(index.memory_bytes() / index.size(), 100u);
}

}  // namespace
}  // namespace sluice
