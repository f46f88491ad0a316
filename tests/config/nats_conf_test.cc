#include "config/nats_conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace sluice {
namespace {

using testing::HasSubstr;
using Texts = std::map<std::string, std::string>;

Result<NatsConf> parse(const std::string& text, const Texts& files = {},
                       const Texts& environment = {}) {
  const auto reader = [&](const std::string& path) -> Result<std::string> {
    if (auto it = files.find(path); it != files.end()) return it->second;
    return fail(Errc::kNotFound, "open " + path + ": no such file or directory");
  };
  const auto variables = [&](const std::string& name) -> std::optional<std::string> {
    if (auto it = environment.find(name); it != environment.end()) return it->second;
    return std::nullopt;
  };
  return parse_nats_conf("f.conf", text, reader, variables);
}

std::string json(const std::string& text, const Texts& files = {}, const Texts& environment = {}) {
  auto conf = parse(text, files, environment);
  if (!conf) return conf.error().detail;
  std::string out = canonical_json(*conf);
  out.pop_back();
  return out;
}

TEST(NatsConf, KeysAndValuesInEveryShape) {
  EXPECT_EQ(json("a: 1\nb = 2\nc 3\nd { e: 4 }\n\"f g\": 5\n'h'=6"),
            R"({"a":1,"b":2,"c":3,"d":{"e":4},"f g":5,"h":6})");
  EXPECT_EQ(json("a: 1; b: 2, c: 3\n"), R"({"a":1,"b":2,"c":3})");
  EXPECT_EQ(json(R"({ "port": 4222, "debug": true })"), R"({"debug":true,"port":4222})");
  EXPECT_EQ(json("port\n4222\n"), R"({"port":4222})");
  EXPECT_EQ(json("a: 1\na: 2\n"), R"({"a":2})");
  EXPECT_EQ(json("a: 1\r\nb: x\r\n"), R"({"a":1,"b":"x"})");
}

TEST(NatsConf, Comments) {
  EXPECT_EQ(json("# one\na: 1 # two\n// three\nb: 2 // four\nc: a#b\n"),
            R"({"a":1,"b":2,"c":"a#b"})");
  EXPECT_EQ(json("a { # x\n b: 1 // y\n}\nl: [ # z\n 1 # w\n 2 ]"), R"({"a":{"b":1},"l":[1,2]})");
}

TEST(NatsConf, Words) {
  EXPECT_EQ(json("a: YES\nb: off\nc: 'yes'\nd: \"on\"\n"),
            R"({"a":true,"b":false,"c":"yes","d":"on"})");
  EXPECT_EQ(
      json("a: -1\nb: 2.5\nc: 1k\nd: 1KB\ne: 2Mib\nf: 3gi\ng: 5s\nh: 127.0.0.1\n"),
      R"({"a":-1,"b":2.5,"c":1000,"d":1024,"e":2097152,"f":3221225472,"g":"5s","h":"127.0.0.1"})");
  EXPECT_EQ(json("a: \"x\\x41\\t\\\"\\\\\"\nb: 'raw\\n'\n"), R"({"a":"xA\t\"\\","b":"raw\\n"})");
  EXPECT_EQ(json("a: (\n one )\n two\n)\nb: 1"), R"({"a":"\n one )\n two\n","b":1})");
}

TEST(NatsConf, Lists) {
  EXPECT_EQ(json("a: [1, 2,3]\nb: [\n x\n y\n]\nc: []\nd: [{a: 1}\n {a: 2}\n]"),
            R"({"a":[1,2,3],"b":["x","y"],"c":[],"d":[{"a":1},{"a":2}]})");
}

TEST(NatsConf, Variables) {
  EXPECT_EQ(json("x: 1\na { x: 2, b { c: $x } }\nd: $x"),
            R"({"a":{"b":{"c":2},"x":2},"d":1,"x":1})");
  EXPECT_EQ(json("a: $V\nb: $W", {}, {{"V", "4k"}, {"W", "[1,2]"}}), R"({"a":4000,"b":[1,2]})");
  EXPECT_EQ(json("a: $2a$11$abc"), R"({"a":"$2a$11$abc"})");
  EXPECT_EQ(json("a: \"$V\"", {}, {{"V", "1"}}), R"({"a":"$V"})");
  EXPECT_EQ(json("a: $V", {}, {{"V", "$W"}, {"W", "7"}}), R"({"a":7})");
  EXPECT_EQ(json("port: $NOPE"), "variable reference for 'NOPE' on line 1 can not be found");
  EXPECT_EQ(json("\na: $b\nb: $a"), "variable reference for 'b' on line 2 can not be found");
  EXPECT_THAT(json("a: $V", {}, {{"V", "$V"}}), HasSubstr("variable reference cycle for 'V'"));
  auto conf = parse("x: 1\ny: 2\nport: $x");
  ASSERT_TRUE(conf);
  EXPECT_TRUE(conf->root.find("x")->used_as_variable);
  EXPECT_FALSE(conf->root.find("y")->used_as_variable);
}

TEST(NatsConf, Includes) {
  EXPECT_EQ(
      json("include sub/a.conf; z: 1\nb { include 'b.conf' }",
           {{"sub/a.conf", "include c.conf\nx: 1"}, {"sub/c.conf", "y: 2"}, {"b.conf", "w: 3"}}),
      R"({"b":{"w":3},"x":1,"y":2,"z":1})");
  EXPECT_EQ(json("include \"nope.conf\""),
            "error parsing include file 'nope.conf', open nope.conf: no such file or directory");
  EXPECT_THAT(json("include f.conf", {{"f.conf", "include f.conf"}}), HasSubstr("too deep"));
  EXPECT_THAT(json("include a", {{"a", "include a\ninclude a"}}), HasSubstr("too deep"));
  auto conf = parse("a: 1\ninclude x", {{"x", "\n  b: 2"}});
  ASSERT_TRUE(conf);
  const ConfPlace place = conf->root.find("b")->value.place;
  EXPECT_EQ(conf->files[place.file], "x");
  EXPECT_EQ(place.line, 2);
  EXPECT_EQ(place.column, 3);
}

TEST(NatsConf, MistakesInTheReferencesWords) {
  const std::map<std::string, std::string> cases{
      {"port = 4222 foo\n",
       "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, "
       "but got 'f' instead.'"},
      {"port 4222 / b",
       "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, "
       "but got '/' instead.'"},
      {"a: { b: 1\n", "Parse error on line 2: 'Unexpected EOF processing map.'"},
      {"a { b: 1 c: 2 }",
       R"(Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got 'c' instead.')"},
      {"a: [ {b: 1} {c: 2} ]",
       R"(Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got '{' instead.')"},
      {"a: [ , ]", "Parse error on line 1: 'Unexpected array value terminator ','.'"},
      {"port: \"4222\n", "Parse error on line 2: 'Unexpected EOF.'"},
      {"port: (4222\n", "Parse error on line 2: 'Unexpected EOF processing block.'"},
      {": 3\n", "Parse error on line 1: 'Unexpected key separator ':''"},
      {"port:\n4222", "Parse error on line 2: 'Expected value but found new line'"},
      {"port: -abc", "Parse error on line 1: 'Expected a digit but got 'a'.'"},
      {"port: .5", "Parse error on line 1: 'Floats must start with a digit'"},
      {"port: 99999999999999999999", "integer '99999999999999999999' is out of the range"},
      {"a: \"\\xZZ\"",
       "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got 'ZZ''"},
      {"a: \"\\q\"",
       "Parse error on line 1: 'Invalid escape character 'q'. Only the following escape characters "
       "are allowed: \\xXX, "
       "\\t, \\n, \\r, \\\", \\\\.'"},
      {"", "f.conf: config has no values or is empty"},
      {"}\n", "f.conf: config has no values or is empty"},
  };
  for (const auto& [text, words] : cases) EXPECT_EQ(json(text), words) << text;
  for (const char* text : {"a: [1", "port", "a: 'x", "\"a", "a { b }", "a: \"\\", "a: 9e",
                           "a: 9223372036854775807k"}) {
    EXPECT_FALSE(parse(text) && parse(text)->root.entries.empty()) << text;
  }
  EXPECT_FALSE(parse("a: [1"));
  EXPECT_FALSE(parse("a: 9223372036854775807k"));
}

TEST(NatsConf, Bounds) {
  EXPECT_THAT(json("a: " + std::string(100, '[')), HasSubstr("Nested too deep"));
  EXPECT_THAT(json(std::string(2'000'000, 'a')), HasSubstr("larger than 1 MiB"));
  std::string bomb = "a0: [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": [";
    for (int j = 0; j < 10; ++j) bomb += "$a" + std::to_string(i - 1) + ",";
    bomb.back() = ']';
    bomb += "\n";
  }
  EXPECT_THAT(json(bomb), HasSubstr("too many values"));
  std::string keys;
  for (int i = 0; i < 10'001; ++i) keys += "k" + std::to_string(i) + " 1\n";
  EXPECT_THAT(json(keys), HasSubstr("Too many keys"));
}

}  // namespace
}  // namespace sluice
