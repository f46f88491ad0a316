#include "leaf/leaf_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::ElementsAre;

LeafOp one(const std::string& bytes, LeafParser& parser) {
  parser.feed(bytes);
  LeafOp op;
  const auto got = parser.next(op);
  EXPECT_TRUE(got.has_value() && *got) << bytes;
  return op;
}

Errc error_of(const std::string& bytes) {
  LeafParser parser(1000);
  parser.feed(bytes);
  LeafOp op;
  const auto got = parser.next(op);
  EXPECT_FALSE(got.has_value()) << bytes;
  return got ? Errc::kIo : got.error().code;
}

TEST(LeafParser, EveryFormOfAMessage) {
  LeafParser parser(1000);
  LeafOp op = one("LMSG foo 2\r\nhi\r\n", parser);
  EXPECT_EQ(op.subject, "foo");
  EXPECT_EQ(op.reply, "");
  EXPECT_EQ(op.payload, "hi");
  op = one("LMSG foo bar 0\r\n\r\n", parser);
  EXPECT_EQ(op.reply, "bar");
  op = one("LMSG foo + bar q1 q2 2\r\nhi\r\n", parser);
  EXPECT_EQ(op.reply, "bar");
  EXPECT_THAT(op.queues, ElementsAre("q1", "q2"));
  op = one("LMSG foo | q1 2\r\nhi\r\n", parser);
  EXPECT_EQ(op.reply, "");
  EXPECT_THAT(op.queues, ElementsAre("q1"));
  op = one("HMSG foo | q1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", parser);
  EXPECT_EQ(op.header, "NATS/1.0\r\n\r\n");
  EXPECT_EQ(op.payload, "hi");
  op = one("HMSG foo bar 12 12\r\nNATS/1.0\r\n\r\n\r\n", parser);
  EXPECT_EQ(op.reply, "bar");
  EXPECT_EQ(op.payload, "");
}

TEST(LeafParser, InterestAndTheRest) {
  LeafParser parser(1000);
  LeafOp op = one("LS+ foo.*\r\n", parser);
  EXPECT_EQ(op.kind, LeafOpKind::kSubscribe);
  EXPECT_EQ(op.subject, "foo.*");
  op = one("LS+ foo q 3\r\n", parser);
  EXPECT_EQ(op.queue, "q");
  EXPECT_EQ(op.weight, 3u);
  op = one("LS- foo q\r\n", parser);
  EXPECT_EQ(op.kind, LeafOpKind::kUnsubscribe);
  EXPECT_EQ(op.queue, "q");
  EXPECT_EQ(one("INFO {\"a\":1} \r\n", parser).kind, LeafOpKind::kInfo);
  EXPECT_EQ(one("-ERR 'Loop detected'\r\n", parser).text, "Loop detected");
  EXPECT_EQ(one("\r\nPING\r\n", parser).kind, LeafOpKind::kPing);
}

TEST(LeafParser, WhereBytesAreCutMakesNoDifference) {
  const std::string all = "LS+ a\r\nLMSG foo + bar q1 2\r\nhi\r\nHMSG f 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n";
  LeafParser parser(1000);
  std::string seen;
  for (const char c : all) {
    parser.feed(std::string(1, c));
    LeafOp op;
    while (true) {
      const auto got = parser.next(op);
      ASSERT_TRUE(got.has_value());
      if (!*got) break;
      seen += std::string(op.subject) + "|" + std::string(op.payload) + ";";
    }
  }
  EXPECT_EQ(seen, "a|;foo|hi;f|hi;|;");
  EXPECT_EQ(parser.held_bytes(), 0u);
}

TEST(LeafParser, WhatIsNotTheProtocolIsTold) {
  EXPECT_EQ(error_of("SUB foo 1\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LS+\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LS+ a q\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LS+ a q 0\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LMSG foo x\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LMSG foo a b c 2\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("HMSG foo 5 2\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LMSG foo 2\r\nhixx"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LMSG foo 1001\r\n"), Errc::kFull);
  EXPECT_EQ(error_of("LMSG foo 99999999999999999999\r\n"), Errc::kCorrupt);
  EXPECT_EQ(error_of("LS+ " + std::string(70'000, 'a') + "\r\n"), Errc::kFull);
  EXPECT_EQ(error_of(std::string(70'000, 'a')), Errc::kFull);
}

TEST(LeafParser, MessagesAreWrittenAsTheyAreRead) {
  std::string out;
  const std::string_view queues[] = {"q1", "q2"};
  append_leaf_message(out, "foo", "", {}, "", "hi");
  append_leaf_message(out, "foo", "bar", {}, "", "hi");
  append_leaf_message(out, "foo", "bar", queues, "", "hi");
  append_leaf_message(out, "foo", "", queues, "NATS/1.0\r\n\r\n", "hi");
  append_leaf_subscribe(out, "a", "", 1);
  append_leaf_subscribe(out, "a", "q", 2);
  append_leaf_unsubscribe(out, "a", "q");
  EXPECT_EQ(out,
            "LMSG foo 2\r\nhi\r\nLMSG foo bar 2\r\nhi\r\nLMSG foo + bar q1 q2 2\r\nhi\r\n"
            "HMSG foo | q1 q2 12 14\r\nNATS/1.0\r\n\r\nhi\r\nLS+ a\r\nLS+ a q 2\r\nLS- a q\r\n");
}

}  // namespace
}  // namespace sluice
