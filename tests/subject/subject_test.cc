#include "subject/subject.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace sluice {
namespace {

TEST(Subject, Validity) {
  for (const char* good : {"a", "a.b", "foo.*", "*", ">", "foo.>", "*.*.>", "foo*", "fo>o.b*r",
                           "$JS.API.INFO", "a.>b"}) {
    EXPECT_TRUE(is_valid_subject(good)) << good;
  }
  for (const char* bad :
       {"", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a\tb", "a\r", "a\n", "a\f"}) {
    EXPECT_FALSE(is_valid_subject(bad)) << bad;
  }
  EXPECT_TRUE(has_valid_tokens("a b"));
  EXPECT_FALSE(has_valid_tokens("a..b"));
}

TEST(Subject, LiteralsAndWildcards) {
  EXPECT_TRUE(is_valid_literal("foo.*bar"));
  EXPECT_TRUE(is_valid_literal("foo*.>x.b"));
  EXPECT_FALSE(is_valid_literal("foo.*"));
  EXPECT_FALSE(is_valid_literal(">"));
  EXPECT_TRUE(has_wildcards("*.a"));
  EXPECT_TRUE(has_wildcards("a**.b.*"));
  EXPECT_FALSE(has_wildcards("a*.b*"));
}

TEST(Subject, Tokens) {
  EXPECT_EQ(token_count(""), 0u);
  EXPECT_EQ(token_count("a"), 1u);
  EXPECT_EQ(token_count("a.b."), 3u);
  SubjectTokens tokens("ab..c");
  std::vector<std::string> seen;
  for (std::string_view token; tokens.next(token);) seen.emplace_back(token);
  EXPECT_EQ(seen, (std::vector<std::string>{"ab", "", "c"}));
}

TEST(Subject, Matches) {
  EXPECT_TRUE(subject_matches("foo.bar", "foo.bar"));
  EXPECT_TRUE(subject_matches("foo.*", "foo.bar"));
  EXPECT_TRUE(subject_matches("foo.>", "foo.bar.baz"));
  EXPECT_FALSE(subject_matches("foo.>", "foo"));
  EXPECT_FALSE(subject_matches("foo.*", "foo.bar.baz"));
  EXPECT_FALSE(subject_matches("foo.bar", "foo"));
  EXPECT_FALSE(subject_matches("foo", "foo.bar"));
  EXPECT_FALSE(subject_matches("", "a"));
  EXPECT_FALSE(subject_matches("a", ""));
  EXPECT_FALSE(subject_matches(">", ""));
  EXPECT_FALSE(subject_matches(">", "a..b"));
  EXPECT_FALSE(subject_matches("a.*", "a."));
  // A published "*" is an ordinary token.
  EXPECT_TRUE(subject_matches("foo.*", "foo.*"));
  EXPECT_TRUE(subject_matches("foo.>", "foo.*"));
  EXPECT_FALSE(subject_matches("foo.bar", "foo.*"));
}

TEST(Subject, CollidesAndSubset) {
  EXPECT_TRUE(subjects_collide("foo.*", "*.bar"));
  EXPECT_TRUE(subjects_collide("foo.>", "foo.bar.*"));
  EXPECT_FALSE(subjects_collide("foo.*", "foo.bar.baz"));
  EXPECT_FALSE(subjects_collide("foo.>", "foo"));
  EXPECT_TRUE(is_subset("foo.bar", "foo.*"));
  EXPECT_TRUE(is_subset("foo.*", "foo.>"));
  EXPECT_TRUE(is_subset("foo.>", "foo.>"));
  EXPECT_FALSE(is_subset("foo.>", "foo.*"));
  EXPECT_FALSE(is_subset("*", "foo"));
  EXPECT_EQ(literal_prefix("a.b.*.c"), "a.b.");
  EXPECT_EQ(literal_prefix("a.b*"), "a.b*");
  EXPECT_EQ(literal_prefix(">"), "");
}

/// Every literal of up to four tokens over a small alphabet.
std::vector<std::string> universe() {
  std::vector<std::string> all = {"a", "b"};
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].size() < 7) {
      all.push_back(all[i] + ".a");
      all.push_back(all[i] + ".b");
    }
  }
  return all;
}

std::string random_filter(std::mt19937& random) {
  const char* tokens[] = {"a", "b", "*"};
  std::string filter;
  const size_t count = 1 + random() % 3;
  for (size_t i = 0; i < count; ++i) filter.append(i == 0 ? "" : ".").append(tokens[random() % 3]);
  if (random() % 3 == 0) filter += ".>";
  return filter;
}

TEST(Subject, CollideAndSubsetAgreeWithMatching) {
  const auto literals = universe();
  const unsigned seed = 7;
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    const std::string a = random_filter(random);
    const std::string b = random_filter(random);
    bool both = false;
    bool inside = true;
    for (const std::string& literal : literals) {
      const bool in_a = subject_matches(a, literal);
      const bool in_b = subject_matches(b, literal);
      both |= in_a && in_b;
      inside &= !in_a || in_b;
    }
    ASSERT_EQ(subjects_collide(a, b), both) << a << " " << b;
    // "*" is never a subset of "a" plus "b", so two letters are enough for one filter against one.
    ASSERT_EQ(is_subset(a, b), inside) << a << " " << b;
  }
}

TEST(Subject, EmptyTokens) {
  for (unsigned bits = 0; bits < 1u << 11; ++bits) {
    for (size_t size = 0; size <= 11; ++size) {
      std::string text;
      for (size_t i = 0; i < size; ++i) text += (bits >> i & 1) != 0 ? '.' : '-';  // '-' is the byte before it
      const auto bytes = std::make_unique<char[]>(size);
      std::copy(text.begin(), text.end(), bytes.get());
      ASSERT_EQ(has_empty_token({bytes.get(), size}), !has_valid_tokens(text)) << text;
    }
  }
  for (size_t at = 0; at + 1 < 40; ++at) {
    std::string text(40, '\xae');
    text[at] = '.';
    EXPECT_EQ(has_empty_token(text), at == 0) << at;
    text[at + 1] = '.';
    EXPECT_TRUE(has_empty_token(text)) << at;
  }
}

}  // namespace
}  // namespace sluice
