#include "wire/parser.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "recording_sink.h"

namespace sluice {
namespace {

using Lines = std::vector<std::string>;

std::string error_line(WireError error) {
  return "error " + std::to_string(static_cast<int>(error));
}

/// Feeds an exactly sized copy, so that reading one byte too many is seen by ASan.
bool feed_exact(Parser& parser, RecordingSink& sink, std::string_view bytes) {
  const auto copy = std::make_unique<char[]>(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.get(), bytes.data(), bytes.size());
  return parser.feed({copy.get(), bytes.size()}, sink);
}

/// Feeds pieces that end at `cuts` (ascending).
Lines run(std::string_view dialogue, const std::vector<size_t>& cuts, const WireLimits& limits) {
  Parser parser(limits);
  RecordingSink sink(parser);
  size_t from = 0;
  for (const size_t cut : cuts) {
    if (!feed_exact(parser, sink, dialogue.substr(from, cut - from))) return sink.lines;
    from = cut;
  }
  feed_exact(parser, sink, dialogue.substr(from));
  return sink.lines;
}

std::vector<size_t> every_byte(size_t size) {
  std::vector<size_t> cuts;
  for (size_t i = 1; i < size; ++i) cuts.push_back(i);
  return cuts;
}

/// The lines of a dialogue, after checking that they do not depend on the splits.
Lines parse(std::string_view dialogue, const WireLimits& limits = {}) {
  const Lines whole = run(dialogue, {}, limits);
  for (size_t cut = 1; cut < dialogue.size(); ++cut)
    EXPECT_EQ(run(dialogue, {cut}, limits), whole) << "cut at " << cut;
  EXPECT_EQ(run(dialogue, every_byte(dialogue.size()), limits), whole)
      << "cut at every byte of " << dialogue;
  return whole;
}

WireLimits with_headers() {
  WireLimits limits;
  limits.headers = true;
  return limits;
}

TEST(WireParser, ReadsADialogue) {
  EXPECT_EQ(parse("CONNECT {\"headers\":true}\r\n"
                  "PING\r\n"
                  "SUB foo.* 1\r\n"
                  "SUB foo.> workers 22\r\n"
                  "PUB foo.bar 5\r\nhello\r\n"
                  "PUB foo.bar _INBOX.1 0\r\n\r\n"
                  "HPUB foo r 16 18\r\nNATS/1.0\r\nA: b\r\n\r\n\r\n"
                  "UNSUB 1\r\n"
                  "HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
                  "UNSUB 22 7\r\nPONG\r\n"),
            (Lines{"CONNECT|{\"headers\":true}|", "PING|", "SUB|foo.*||1|", "SUB|foo.>|workers|22|",
                   "PUB|foo.bar|||hello|", "PUB|foo.bar|_INBOX.1|||",
                   "PUB|foo|r|NATS/1.0\r\nA: b\r\n|\r\n|", "UNSUB|1|0|",
                   "PUB|foo||NATS/1.0\r\n\r\n|hi|", "UNSUB|22|7|", "PONG|"}));
}

TEST(WireParser, IsLiberalInForm) {
  EXPECT_EQ(parse("pub\tfoo \t 2 \nhi\r\nsUb  a  b\t c \r\nping whatever\npInG\r\nINFO "
                  "{}\r\n+OK\r\n+ok all well\r\nunsub 1 \r\n"),
            (Lines{"PUB|foo|||hi|", "SUB|a|b|c|", "PING|", "PING|", "UNSUB|1|0|"}));
  EXPECT_EQ(parse("CONNECT{}\r\nCONNECT\r\nCONNECT   {\"a\": 1}  \n"),
            (Lines{"CONNECT|{}|", "CONNECT||", "CONNECT|{\"a\": 1}  |"}));
}

TEST(WireParser, TakesPayloadsThatLookLikeProtocol) {
  EXPECT_EQ(parse("PUB a 12\r\nPUB b 1\r\nx\r\n\r\nPUB c 4\r\n\r\n\r\n\r\n"),
            (Lines{"PUB|a|||PUB b 1\r\nx\r\n|", "PUB|c|||\r\n\r\n|"}));
}

TEST(WireParser, SubjectsAreBytes) {
  const std::string nul("PUB a\0b\xff 1\r\nx\r\n", 15);
  EXPECT_EQ(parse(nul), (Lines{std::string("PUB|a\0b\xff|||x|", 13)}));
}

TEST(WireParser, AStrayCarriageReturn) {
  EXPECT_EQ(parse("SUB a\rb 1\r\nSUB a 1\r\r\nUNSUB 1\r2\r\nPUB fo\ro 1\r\nx\r\n"),
            (Lines{"SUB|a|b|1|", "SUB|a||1|", "UNSUB|1|2|", "PUB|fo\ro|||x|"}));
}

TEST(WireParser, UnknownOperations) {
  const Lines unknown = {error_line(WireError::kUnknownOperation)};
  for (const char* bad : {"\r\n",
                          "\n",
                          "FOO\r\n",
                          "X",
                          "PUBX foo 1\r\n",
                          "PUB\r\n",
                          "SUB\r\n",
                          "MSG a 1 1\r\nx\r\n",
                          "HMSG a",
                          "RS+ a",
                          "LS- a",
                          "A+ b",
                          " PING\r\n",
                          "PIN\r\n",
                          "PUB a 1\r\nxx\r\n",
                          "PUB a 1\r\nx\n",
                          "PUB a 1\r\nx\r\r",
                          "PUB a 0\r\nx",
                          "CONNEC {}\r\n",
                          "-ERR\r\n",
                          "INFO\r\n"}) {
    EXPECT_EQ(parse(bad), unknown) << bad;
  }
}

TEST(WireParser, BadArgumentsCloseSilently) {
  const Lines bad_arguments = {error_line(WireError::kBadArguments)};
  for (const char* bad :
       {"PUB \r\n", "PUB foo\r\n", "PUB foo bar baz 1\r\n", "PUB foo -1\r\n", "PUB foo 1x\r\n",
        "PUB foo 0000000001\r\n", "SUB foo\r\n", "SUB a b c d\r\n", "SUB \r\n", "UNSUB \r\n",
        "UNSUB 1 2 3\r\n", "HPUB a 5 4\r\n", "HPUB a 4\r\n", "HPUB a b c 4 5\r\n",
        "HPUB a x 5\r\n"}) {
    EXPECT_EQ(parse(bad, with_headers()), bad_arguments) << bad;
  }
  EXPECT_EQ(parse("HPUB a 0 0\r\n\r\n"), bad_arguments);
  EXPECT_EQ(error_text(WireError::kBadArguments), "");
  EXPECT_EQ(parse("-ERR 'x'\r\nPING\r\n"), (Lines{error_line(WireError::kPeerError)}));
}

TEST(WireParser, UnsubWithAnUnreadableMaximumIsNow) {
  EXPECT_EQ(parse("UNSUB 1 x\r\nUNSUB 1 -3\r\nUNSUB 2 1234567890\r\n"),
            (Lines{"UNSUB|1|0|", "UNSUB|1|0|", "UNSUB|2|0|"}));
}

TEST(WireParser, BoundsTheControlLine) {
  WireLimits limits;
  limits.max_control_line = 20;
  const Lines too_long = {error_line(WireError::kControlLineTooLong)};
  EXPECT_EQ(parse("SUB " + std::string(18, 'a') + " 1\r\n", limits),
            (Lines{"SUB|" + std::string(18, 'a') + "||1|"}));
  EXPECT_EQ(parse("SUB " + std::string(19, 'a') + " 1\r\n", limits), too_long);
  EXPECT_EQ(parse("SUB " + std::string(21, 'a'), limits), too_long);
  EXPECT_EQ(parse("PUB " + std::string(19, 'a') + " 1\r\nx\r\n", limits), too_long);
  EXPECT_EQ(parse("PUB " + std::string(200, ' ') + " 1\r\nx\r\n", limits), too_long);
  EXPECT_EQ(parse("PING" + std::string(200, ' '), limits), too_long);
  EXPECT_EQ(parse("CONNECT {" + std::string(20, ' ') + "}\r\n", limits), too_long);
  EXPECT_EQ(error_text(WireError::kControlLineTooLong), "maximum control line exceeded");
}

TEST(WireParser, BoundsThePayloadBeforeItComes) {
  WireLimits limits = with_headers();
  limits.max_payload = 8;
  const Lines too_large = {error_line(WireError::kPayloadTooLarge)};
  EXPECT_EQ(parse("PUB a 8\r\n12345678\r\n", limits), (Lines{"PUB|a|||12345678|"}));
  EXPECT_EQ(parse("PUB a 9\r\n", limits), too_large);
  EXPECT_EQ(parse("PUB a 999999999\r\n", limits), too_large);
  EXPECT_EQ(parse("HPUB a 2 9\r\n", limits), too_large);
}

TEST(WireParser, AsksForConnectFirst) {
  WireLimits limits;
  limits.connect_first = true;
  const Lines refused = {error_line(WireError::kNotConnect)};
  EXPECT_EQ(parse("PUB a 1\r\nx\r\n", limits), refused);
  EXPECT_EQ(parse("P", limits), refused);
  EXPECT_EQ(parse("\r\n", limits), refused);
  EXPECT_EQ(parse("connect {}\r\nPING\r\n", limits), (Lines{"CONNECT|{}|", "PING|"}));
}

TEST(WireParser, StopsWhenTheSinkSaysSo) {
  const std::string dialogue = "PING\r\nPUB a 1\r\nx\r\nPING\r\nSUB a 1\r\n";
  for (size_t stop = 1; stop <= 4; ++stop) {
    auto parser = std::make_unique<Parser>();
    struct Destroyer : RecordingSink {
      using RecordingSink::RecordingSink;
    } sink(*parser);
    sink.stop_after = stop;
    EXPECT_FALSE(parser->feed(dialogue, sink));
    EXPECT_EQ(sink.lines.size(), stop);
  }
}

/// The sink may end the connection, and the parser with it.
struct DestroyingSink {
  std::unique_ptr<Parser>& parser;
  bool end() {
    parser.reset();
    return false;
  }
  bool on_connect(std::string_view) { return end(); }
  bool on_pub(const PubOp&) { return end(); }
  bool on_sub(const SubOp&) { return end(); }
  bool on_unsub(const UnsubOp&) { return end(); }
  bool on_ping() { return end(); }
  bool on_pong() { return end(); }
  void on_error(WireError) { end(); }
};

TEST(WireParser, MayBeDestroyedByTheSink) {
  for (const char* dialogue :
       {"PING\r\nPING\r\n", "PUB a 1\r\nx\r\nPING\r\n", "BAD", "CONNECT {}\r\n"}) {
    auto parser = std::make_unique<Parser>();
    DestroyingSink sink{parser};
    Parser& alive = *parser;
    EXPECT_FALSE(alive.feed(dialogue, sink));
  }
}

TEST(WireParser, GivesABigBufferBack) {
  Parser parser;
  RecordingSink sink(parser);
  const std::string payload(900'000, 'p');
  const std::string frame = "PUB big " + std::to_string(payload.size()) + "\r\n" + payload + "\r\n";
  EXPECT_TRUE(feed_exact(parser, sink, std::string_view(frame).substr(0, 400'000)));
  EXPECT_GT(parser.gathered_bytes(), 300'000u);
  EXPECT_TRUE(feed_exact(parser, sink, std::string_view(frame).substr(400'000)));
  EXPECT_EQ(parser.gathered_bytes(), 0u);
  EXPECT_EQ(sink.lines, (Lines{"PUB|big|||" + payload + "|"}));
}

std::string random_operation(std::mt19937& random) {
  const std::string word(1 + random() % 12, static_cast<char>('a' + random() % 26));
  const std::string payload(random() % 3 == 0 ? random() % 300 : random() % 10,
                            "x\r\n P"[random() % 5]);
  const std::string end = random() % 4 == 0 ? "\n" : "\r\n";
  switch (random() % 14) {
    case 0:
      return "PING" + end;
    case 1:
      return "pong " + end;
    case 2:
      return "SUB " + word + " " + std::to_string(random() % 99) + end;
    case 3:
      return "SUB " + word + "\tq " + word + end;
    case 4:
      return "UNSUB " + word + (random() % 2 == 0 ? " 5" : "") + end;
    case 5:
      return "CONNECT {\"headers\":true}" + end;
    case 6:
      return "INFO {}" + end;
    case 7:
    case 8: {
      const std::string block = "NATS/1.0\r\nK: " + word + "\r\n\r\n";
      return "HPUB " + word + " " + std::to_string(block.size()) + " " +
             std::to_string(block.size() + payload.size()) + end + block + payload + "\r\n";
    }
    case 9:
      return random() % 10 == 0 ? word + end : "+OK" + end;
    default:
      return "PUB " + word + (random() % 2 == 0 ? " reply" : "") + " " +
             std::to_string(payload.size()) + end + payload + "\r\n";
  }
}

TEST(WireParser, RandomDialoguesDoNotDependOnTheSplits) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    std::string dialogue;
    for (int i = 0; i < 30; ++i) dialogue += random_operation(random);
    if (seed % 3 == 0) dialogue[random() % dialogue.size()] = static_cast<char>(random());
    WireLimits limits;
    limits.max_control_line = 24;
    limits.max_payload = 290;
    const Lines whole = run(dialogue, {}, limits);
    ASSERT_EQ(run(dialogue, every_byte(dialogue.size()), limits), whole);
    for (int i = 0; i < 10; ++i) {
      std::vector<size_t> cuts;
      for (size_t at = random() % 40; at < dialogue.size(); at += 1 + random() % 60)
        cuts.push_back(at);
      ASSERT_EQ(run(dialogue, cuts, limits), whole);
    }
  }
}

}  // namespace
}  // namespace sluice
