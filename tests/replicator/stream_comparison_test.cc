#include "replicator/stream_comparison.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <string>

#include "base/headers.h"

namespace sluice {
namespace {

constexpr uint64_t kEnd = 1000;

struct Sides {
  explicit Sides(ComparisonOptions options = {}) : comparison([&] {
    options.source_stream = "S";
    options.source_end = StreamSeq(kEnd);
    return options;
  }()) {}

  void source(uint64_t seq, std::string_view payload, std::string_view headers = "", std::string_view subject = "a") {
    comparison.add_source({.subject = subject, .headers = headers, .payload = payload, .ack_subject = {}, .stream_seq = StreamSeq(seq), .consumer_seq = {}});
  }
  void copy(uint64_t own, uint64_t of, std::string_view payload, std::string headers = "", std::string_view subject = "a") {
    append_header(headers, "Choria-SR-Source", fmt::format("S {} site worker 1", of));
    append_header(headers, "Sluice-Copy-Position", "x");
    comparison.add_target({.subject = subject, .headers = headers, .payload = payload, .ack_subject = {}, .stream_seq = StreamSeq(own), .consumer_seq = {}});
  }
  const ComparisonReport& end() {
    comparison.end_source();
    comparison.end_target();
    return comparison.report();
  }
  StreamComparison comparison;
};

std::string block(std::string_view name, std::string_view value) {
  std::string out;
  append_header(out, name, value);
  return out;
}

TEST(StreamComparison, WhatCopiersWriteIsNoDifference) {
  Sides s;
  s.source(1, "one", block("Nats-Expected-Last-Sequence", "0"));
  s.source(2, "two", block("Trace", "7"));
  s.copy(1, 1, "one", block("Nats-Msg-Id", "S:1:site:worker"));
  s.copy(2, 2, "two", block("Trace", "7"));
  const ComparisonReport& r = s.end();
  EXPECT_EQ(r.equal, 2U);
  EXPECT_EQ(r.different + r.missing + r.behind + r.doubled + r.only_at_target + r.of_others, 0U);
}

TEST(StreamComparison, EveryPartThatACopyKeepsCounts) {
  Sides s;
  s.source(1, "one");
  s.source(2, "two", block("Trace", "7"));
  s.source(3, "three");
  s.source(4, "");
  s.copy(1, 1, "0ne");
  s.copy(2, 2, "two", block("Trace", "8"));
  s.copy(3, 3, "three", "", "b");
  s.copy(4, 4, "");
  const ComparisonReport& r = s.end();
  EXPECT_EQ(r.different, 3U);
  EXPECT_EQ(r.different_seqs, (std::vector{StreamSeq(1), StreamSeq(2), StreamSeq(3)}));
  EXPECT_EQ(r.equal, 1U);
  Sides unlike({.source_stream = {}, .compare_subjects = false});
  unlike.source(3, "three");
  unlike.copy(3, 3, "three", "", "b");
  EXPECT_EQ(unlike.end().equal, 1U);
}

TEST(StreamComparison, MissingDoubledBehindGoneAndForeignAreToldApart) {
  Sides s;
  for (uint64_t seq : {2, 3, 4, 5, 8, 9}) s.source(seq, std::to_string(seq));
  s.copy(1, 1, "1");  // the source has let it go
  s.copy(2, 2, "2");
  s.copy(3, 4, "4");  // 3 is missing
  s.copy(4, 4, "4");
  s.copy(5, 5, "5");
  s.copy(6, kEnd + 1, "later");
  s.comparison.add_target({.subject = "x", .headers = {}, .payload = "own", .ack_subject = {}, .stream_seq = StreamSeq(7), .consumer_seq = {}});
  const ComparisonReport& r = s.end();
  EXPECT_EQ(r.equal, 3U);
  EXPECT_EQ(r.missing_seqs, (std::vector{StreamSeq(3), StreamSeq(8), StreamSeq(9)}));
  EXPECT_EQ(r.doubled_seqs, std::vector{StreamSeq(4)});
  EXPECT_EQ(r.only_at_target, 1U);
  EXPECT_EQ(r.of_others, 1U);
  EXPECT_EQ(r.behind, 0U) << "a copy of a later message is there";
}

TEST(StreamComparison, TheTailIsBehindNotMissing) {
  Sides s;
  for (uint64_t seq = 1; seq <= 5; ++seq) s.source(seq, "m");
  s.copy(1, 1, "m");
  s.copy(2, 2, "m");
  const ComparisonReport& r = s.end();
  EXPECT_EQ(r.behind, 3U);
  EXPECT_EQ(r.missing, 0U);
}

TEST(StreamComparison, MirrorsAndSourcedStreamsAreJoinedByTheirOwnWords) {
  Sides mirror({.source_stream = {}, .same_sequences = true});
  mirror.source(7, "m");
  mirror.comparison.add_target({.subject = "a", .headers = {}, .payload = "m", .ack_subject = {}, .stream_seq = StreamSeq(7), .consumer_seq = {}});
  EXPECT_EQ(mirror.end().equal, 1U);
  Sides sourced;
  sourced.source(7, "m");
  const std::string words = block("Nats-Stream-Source", "S:hash 7 > > a identity");
  sourced.comparison.add_target({.subject = "a", .headers = words, .payload = "m", .ack_subject = {}, .stream_seq = StreamSeq(1), .consumer_seq = {}});
  EXPECT_EQ(sourced.end().equal, 1U);
}

TEST(StreamComparison, OneSideWaitsForTheOther) {
  Sides s({.source_stream = {}, .max_apart = 3});
  for (uint64_t seq = 1; seq <= 3; ++seq) s.source(seq, "m");
  EXPECT_TRUE(s.comparison.source_waits());
  s.copy(1, 1, "m");
  EXPECT_FALSE(s.comparison.source_waits());
  for (uint64_t seq = 10; seq < 13; ++seq) s.copy(seq, seq, "m");
  EXPECT_TRUE(s.comparison.target_waits());
  s.source(4, "m");
  EXPECT_TRUE(s.comparison.too_different());
  s.comparison.end_target();
  EXPECT_FALSE(s.comparison.source_waits());
}

}  // namespace
}  // namespace sluice
