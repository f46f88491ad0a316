#include "subject/transform.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "subject/subject.h"

namespace sluice {
namespace {

std::string mapped(std::string_view source, std::string_view destination, std::string_view subject,
                   uint64_t dice = 0) {
  const auto transform = SubjectTransform::make(source, destination);
  if (!transform) return "! " + transform.error().detail;
  std::string out;
  return transform->map(subject, dice, out) ? out : "-";
}

std::string why_not(std::string_view source, std::string_view destination) {
  const auto transform = SubjectTransform::make(source, destination);
  return transform ? "accepted" : transform.error().detail;
}

struct Vector {
  std::string_view source, destination, subject, result;
};

/// Each was put to nats-server 2.15.2 and gave this there.
constexpr Vector kReference[] = {
    {"a.*", "b.{{partition(10,1)}}.$1", "a.x", "b.5.x"},
    {"a.*", "b.{{partition(10,1)}}.$1", "a.hello", "b.3.hello"},
    {"a.*", "b.{{partition(10,1)}}.$1", "a.42", "b.1.42"},
    {"a.*.*", "b.{{partition(7,1,2)}}.{{wildcard(2)}}.{{wildcard(1)}}", "a.foo.bar", "b.0.bar.foo"},
    {"a.*.*", "b.{{partition(7,1,2)}}.{{wildcard(2)}}.{{wildcard(1)}}", "a.x.y", "b.4.y.x"},
    {"a.*.*", "b.{{partition(7)}}", "a.foo.bar", "b.1"},
    {"a.*.*", "b.{{partition(10,2,1)}}", "a.foo.bar", "b.2"},
    {"p.*.*", "o.{{partition(5,1,2)}}.{{wildcard(2)}}.{{wildcard(1)}}", "p.aa.bb", "o.3.bb.aa"},
    {"p.*.*", "o.{{partition(5,1,2)}}.{{wildcard(2)}}.{{wildcard(1)}}", "p.foo.bar", "o.0.bar.foo"},
    {"p.*.*", "o.{{partition(5,1,2)}}.{{wildcard(2)}}.{{wildcard(1)}}", "p.a.b", "o.1.b.a"},
    {"a.*", "b.{{partition(0)}}", "a.x", "b.0"},
    {"a.*", "b.{{partition(-1)}}", "a.x", "b.713825786"},
    {"a.*", "b.{{partition(-7,1)}}", "a.x", "b.4245442695"},
    {"a.*", "b.{{partition(10,0)}}", "a.x", "b.0"},
    {"a.*", "b.{{partition(2147483647,1)}}", "a.hello", "b.1335831723"},
    {"a.>", "{{partition(5)}}.>", "a.b.c", "1.b.c"},
    {"a.x", "b.{{partition(3)}}", "a.x", "b.2"},
    {"a.x", "b.{{partition(3,1)}}", "a.x", "b.2"},
    {"a.*", "b.{{wildcard(0)}}", "a.x", "b.a"},
    {"a.*", "b.$-1", "a.x", "b.a"},
    {"a.*", "b.$+1", "a.x", "b.x"},
    {"a.*", "b.$x", "a.x", "b.$x"},
    {"a.*", "b.{{split(1,-)}}", "a.x-y-z", "b.x.y.z"},
    {"a.*", "b.{{split(1,-)}}", "a.-x--y-", "b.x.y"},
    {"a.*", "b.{{split(1,-)}}", "a.x--", "b.x"},
    {"a.*", "b.{{split(1, -)}}", "a.x-y", "b.x.y"},
    {"a.*", "b.{{split(1,)}}", "a.xyz", "b.x.y.z"},
    {"a.*", "b.{{split(1,)}}", "a.x\u00e9z", "b.x.\u00e9.z"},
    {"a.*", "b.{{split(1,--)}}", "a.x---y", "b.x.-y"},
    {"a.*", "b.{{split(1,())}}", "a.x()y", "b.x.y"},
    {"a.*", "b.{{split(1,.)}}", "a.xyz", "b.{{split(1,.)}}"},
    {"a.*", "b.{{splitFromLeft(1,3)}}", "a.abcdefgh", "b.abc.defgh"},
    {"a.*", "b.{{splitFromLeft(1,3)}}", "a.ab", "b.ab"},
    {"a.*", "b.{{splitFromLeft(1,3)}}", "a.abc", "b.abc"},
    {"a.*", "b.{{splitFromLeft(1,-1)}}", "a.abcdefgh", "b.abcdefgh"},
    {"a.*", "b.{{splitFromRight(1,3)}}", "a.abcdefgh", "b.abcde.fgh"},
    {"a.*", "b.{{splitFromRight(1,3)}}", "a.ab", "b.ab"},
    {"a.*", "b.{{sliceFromLeft(1,3)}}", "a.abcdefgh", "b.abc.def.gh"},
    {"a.*", "b.{{sliceFromLeft(1,3)}}", "a.abcdef", "b.abc.def"},
    {"a.*", "b.{{sliceFromLeft(1,3)}}", "a.a", "b.a"},
    {"a.*", "b.{{sliceFromRight(1,3)}}", "a.abcdefgh", "b.ab.cde.fgh"},
    {"a.*", "b.{{sliceFromRight(1,3)}}", "a.abcdef", "b.abc.def"},
    {"a.*", "b.{{left(1,2)}}.{{right(1,3)}}", "a.abcdefgh", "b.ab.fgh"},
    {"a.*", "b.{{left(1,2)}}.{{right(1,3)}}", "a.a", "b.a.a"},
    {"a.*", "b.{{left(1,0)}}", "a.abc", "b.abc"},
    {"a.*", "b.{{random(0)}}.{{random(1)}}.{{random(-1)}}", "a.abc", "b.0.0.0"},
    {"a.*.>", "z.$1.k.>", "a.b.c.d", "z.b.k.c.d"},
    {"a.*.>", "{{wildcard(1)}}.>", "a.b.c", "b.c"},
    {"a.*.*", "z.$2", "a.b.c", "z.c"},
    {"a.*.*", "z", "a.b.c", "z"},
    {"a.lit", "z.lit2", "a.lit", "z.lit2"},
    {"a.lit", "z.lit2", "a.other", "-"},
    {"", "p.>", "a.b", "p.a.b"},
    {"", ">", "a.b", "a.b"},
    {"a.>", ">", "a.b.c", "b.c"},
    {"a.*", "b.{{}}", "a.x", "b.{{}}"},
    {"a.*", "b.x{{wildcard(1)}}", "a.x", "b.x{{wildcard(1)}}"},
    {"a.*", "b.{{wildcard(1)", "a.x", "b.{{wildcard(1)"},
    {"a.*", "b.{{\twildcard(1)}}", "a.x", "b.x"},
};

TEST(SubjectTransform, MapsAsTheReference) {
  for (const Vector& v : kReference)
    EXPECT_EQ(mapped(v.source, v.destination, v.subject), v.result)
        << v.source << " -> " << v.destination << " of " << v.subject;
}

TEST(SubjectTransform, NamesInEitherCaseAndBlanks) {
  for (const char* good :
       {"wildcard(1)", "Wildcard(1)", " wildcard( 1 ) ", "wildcard (1)", "partition( 10 , 1 )",
        "Partition(10)", "partition(+3,1)", "Split(1,-)", "splitfromleft(1,3)", "SplitFromLeft(1,3)",
        "Splitfromleft(1,3)", "splitFromleft(1,3)", "SliceFromRight(1,3)", "Left(1,2)", "Random(5)"})
    EXPECT_EQ(why_not("a.*", std::string("b.{{") + good + "}}"), "accepted") << good;
}

TEST(SubjectTransform, ComplainsInTheReferencesWords) {
  const std::string prefix = "invalid mapping destination: ";
  const std::pair<const char*, const char*> functions[] = {
      {"wildcard(3)", "wildcard index out of range in {}: [3]"},
      {"partition(10,2)", "wildcard index out of range in {}: [2]"},
      {"split(2,-)", "wildcard index out of range in {}: [2]"},
      {"wildcard()", "not enough arguments passed to the function in {}"},
      {"wildcard(1,2)", "too many arguments passed to the function in {}"},
      {"wildcard(x)", "function argument is invalid or in the wrong format in {}"},
      {"wildcard(1)}}{{wildcard(2)", "function argument is invalid or in the wrong format in {}"},
      {"wildcard", "unknown function in {}"},
      {"WILDCARD(1)", "unknown function in {}"},
      {"wildCard(1)", "unknown function in {}"},
      {"SPLITFROMLEFT(1,3)", "unknown function in {}"},
      {"foo(1)", "unknown function in {}"},
      {"()", "unknown function in {}"},
      {"wildcard(1", "unknown function in {}"},
      {"partition()", "function argument is invalid or in the wrong format in {}"},
      {"partition(10,)", "function argument is invalid or in the wrong format in {}"},
      {"partition(2147483648,1)", "function argument is invalid or in the wrong format in {}"},
      {"partition(99999999999999999999,1)",
       "function argument is invalid or in the wrong format in {}"},
      {"split(1)", "not enough arguments passed to the function in {}"},
      {"split(1,-,-)", "too many arguments passed to the function in {}"},
      {"split( 1 , - )", "function argument is invalid or in the wrong format in {}"},
      {"splitFromLeft(1)", "not enough arguments passed to the function in {}"},
      {"splitFromLeft(1,3,4)", "too many arguments passed to the function in {}"},
      {"splitFromLeft(1,x)", "function argument is invalid or in the wrong format in {}"},
      {"left(1)", "not enough arguments passed to the function in {}"},
      {"random()", "function argument is invalid or in the wrong format in {}"},
      {"random(5,6)", "not enough arguments passed to the function in {}"},
  };
  for (const auto& [call, text] : functions) {
    const std::string token = std::string("{{") + call + "}}";
    std::string want = prefix + text;
    want.replace(want.find("{}"), 2, token);
    EXPECT_EQ(why_not("a.*", "b." + token), want);
  }
  EXPECT_EQ(why_not("a.*", "b.$3"), prefix + "wildcard index out of range in $3: [3]");
  EXPECT_EQ(why_not("a.>", "b.$1.>"), prefix + "wildcard index out of range in $1: [1]");
  EXPECT_EQ(why_not("a.x", "b.$1"), prefix + "wildcard index out of range in $1");
  EXPECT_EQ(why_not("a.x", "b.{{left(1,3)}}"),
            prefix + "wildcard index out of range in {{left(1,3)}}");
  EXPECT_EQ(why_not("a.*", "b..c"), prefix + "invalid transform");
  EXPECT_EQ(why_not("a.*", "b c.$1"), prefix + "invalid transform");
  EXPECT_EQ(why_not("a.>", "b.>.c"), prefix + "invalid transform in c");
  for (const char* destination : {"b.*", "b.*.$1", "b.>"})
    EXPECT_EQ(why_not("a.*.*", destination), "invalid subject") << destination;
  EXPECT_EQ(why_not("a.>", "b.x"), "invalid subject");
  EXPECT_EQ(why_not("a..b", "b.x"), "invalid subject");
  EXPECT_EQ(why_not("a..b", ""), "invalid subject");
}

TEST(SubjectTransform, BoundsTokens) {
  std::string many = "a";
  for (int i = 0; i < 300; ++i) many += ".*";
  EXPECT_EQ(why_not(many, "b"), "invalid subject");
  EXPECT_EQ(why_not("a", many), "invalid subject");
  std::string copies = "$1";
  for (int i = 0; i < 255; ++i) copies += ".$1";
  EXPECT_EQ(why_not("a.*", copies), "accepted");
  EXPECT_EQ(mapped("a.*", copies, "a." + std::string(1000, 'x')), "-") << "longer than the bound";
}

/// Where the reference would store a subject that no filter finds.
TEST(SubjectTransform, NeverMakesAnInvalidSubject) {
  EXPECT_EQ(mapped("a.*", "b.{{split(1,-)}}.c", "a.---"), "b.---.c");
  EXPECT_EQ(mapped("a.*", "b.{{split(1,-)}}", "a.--x"), "b.x");
  EXPECT_EQ(mapped("a.*", "b.{{split(1,-)}}", "a.x->-y"), "-");
  EXPECT_EQ(mapped("a.*", "b.{{left(1,1)}}", "a.*x"), "-");
  EXPECT_EQ(mapped("a.*", "b.$1", "a.x*"), "b.x*");
}

TEST(SubjectTransform, TakesOnlyLiteralsThatMatch) {
  for (const char* subject : {"", "a", "a.b.c", "b.x", "a.*", "a.>", "a.", ".x", "a..b"})
    EXPECT_EQ(mapped("a.*", "b.$1", subject), "-") << subject;
  EXPECT_EQ(mapped("a.>", "b.>", "a"), "-");
  EXPECT_EQ(mapped("a.>", "b.>", "a.b..c"), "-");
}

TEST(SubjectTransform, KnowsWhatChangesNothing) {
  EXPECT_TRUE(SubjectTransform::make("", "")->keeps_subject());
  EXPECT_TRUE(SubjectTransform::make(">", ">")->keeps_subject());
  EXPECT_TRUE(SubjectTransform::make("a.*", "")->keeps_subject());
  EXPECT_FALSE(SubjectTransform::make("a.>", ">")->keeps_subject());
  EXPECT_EQ(mapped("a.*", "", "a.x"), "a.x");
  EXPECT_EQ(mapped("a.*", "", "b.x"), "-");
}

TEST(SubjectTransform, RandomNumbersAreSpreadAndBelowTheBound) {
  const auto transform = SubjectTransform::make("a", "{{random(3)}}.{{random(3)}}");
  ASSERT_TRUE(transform);
  EXPECT_TRUE(transform->uses_random());
  EXPECT_FALSE(SubjectTransform::make("a", "{{partition(3)}}")->uses_random());
  std::map<std::string, int> seen;
  std::string out;
  for (uint64_t dice = 0; dice < 900; ++dice) {
    ASSERT_TRUE(transform->map("a", dice, out));
    ++seen[out];
  }
  EXPECT_EQ(seen.size(), 9U);
  for (const auto& [text, count] : seen) EXPECT_GT(count, 50) << text;
}

/// A mapped subject is a valid literal, and cutting loses and adds no byte but dots.
TEST(SubjectTransform, PropertiesHold) {
  std::mt19937 random(7);
  SCOPED_TRACE("seed 7");
  auto below = [&](size_t n) { return random() % n; };
  const char* functions[] = {"split(1,-)", "splitFromLeft(1,2)", "splitFromRight(1,2)",
                             "sliceFromLeft(1,3)", "sliceFromRight(1,3)", "wildcard(1)"};
  for (int round = 0; round < 2000; ++round) {
    std::string token;
    for (size_t i = 0, n = 1 + below(9); i < n; ++i) token += "ab-*>"[below(5)];
    if (token == "*" || token == ">") continue;
    const char* function = functions[below(std::size(functions))];
    const std::string out =
        mapped("s.*", std::string("t.{{") + function + "}}.u", "s." + token);
    if (out == "-") continue;
    ASSERT_TRUE(is_valid_literal(out)) << function << " of " << token << " gave " << out;
    ASSERT_TRUE(out.starts_with("t.") && out.ends_with(".u")) << out;
    auto without = [](std::string text, std::string_view chars) {
      std::erase_if(text, [chars](char c) { return chars.find(c) != std::string_view::npos; });
      return text;
    };
    EXPECT_EQ(without(out.substr(2, out.size() - 4), ".-"), without(token, "-")) << function;
  }
}

TEST(SubjectTransform, SurvivesAnyBytes) {
  std::mt19937 random(11);
  SCOPED_TRACE("seed 11");
  constexpr std::string_view kBytes = "{{}}()$,.1-*> wildcardpartitionsplitleft\n\x80";
  auto text = [&] {
    std::string out;
    for (size_t i = 0, n = random() % 40; i < n; ++i) out += kBytes[random() % kBytes.size()];
    return out;
  };
  std::string out;
  for (uint64_t round = 0; round < 20'000; ++round) {
    const auto transform = SubjectTransform::make(random() % 2 == 0 ? "a.*.*" : text(), text());
    if (!transform) continue;
    transform->map(text(), round, out);
    if (transform->map("a.b-c.def", round, out)) {
      EXPECT_TRUE(has_valid_tokens(out)) << out;
    }
  }
}

}  // namespace
}  // namespace sluice
