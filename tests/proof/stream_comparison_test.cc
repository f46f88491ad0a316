// Comparisons of two streams of a simulated engine, with both ways to get at digests.
#include "replicator/stream_comparison.h"

#include "proof_world.h"

namespace sluice::test {
namespace {

std::vector<uint64_t> values(const std::vector<StreamSeq>& seqs) {
  std::vector<uint64_t> out;
  for (const StreamSeq seq : seqs) out.push_back(seq.value());
  return out;
}

struct Way {
  bool source_served, target_served;
};

class StreamComparisonWays : public testing::TestWithParam<Way> {
 protected:
  ComparisonReport compare(ProofWorld& w, ComparisonOptions options = {}) {
    return w.compare(std::move(options), GetParam().source_served, GetParam().target_served);
  }
};

INSTANTIATE_TEST_SUITE_P(All, StreamComparisonWays, testing::Values(Way{true, true}, Way{true, false}, Way{false, true}, Way{false, false}));

TEST_P(StreamComparisonWays, MissingDoubledBehindGoneAndForeignAreToldApart) {
  ProofWorld w;
  for (int i = 1; i <= 10; ++i) w.source("p" + std::to_string(i));
  w.copy(1, "p1");
  w.copy(2, "p2");
  w.copy(4, "P4");           // other content
  w.put("T", "t.1", "", ""); // of others
  w.copy(5, "p5");
  w.copy(5, "p5");           // twice
  w.copy(7, "p7");
  w.copy(6, "p6");           // out of order
  w.copy(8, "p8");
  w.settle();
  ASSERT_TRUE(w.stream("S").delete_message(StreamSeq(1), false));
  const ComparisonReport r = compare(w);
  EXPECT_EQ(r.equal, 5U);
  EXPECT_EQ(values(r.different_seqs), std::vector<uint64_t>{4});
  EXPECT_EQ(values(r.doubled_seqs), std::vector<uint64_t>{5});
  EXPECT_EQ(r.doubled, 1U);
  EXPECT_EQ(r.missing, 1U);
  EXPECT_EQ(w.missing(), std::vector<uint64_t>{3});
  EXPECT_EQ(r.behind, 2U);
  EXPECT_EQ(r.only_at_target, 1U);
  EXPECT_EQ(r.of_others, 1U);
  EXPECT_EQ(r.disordered, 1U);
  EXPECT_FALSE(r.holds(false));
}

TEST_P(StreamComparisonWays, EmptyStreamsAndAnEmptiedSource) {
  ProofWorld w;
  EXPECT_TRUE(compare(w).holds(true));
  w.source("a");
  EXPECT_EQ(compare(w).behind, 1U);
  w.copy(1, "a");
  EXPECT_TRUE(compare(w).holds(true));
  w.stream("S").purge({}, [](const Result<uint64_t>& purged) { EXPECT_TRUE(purged); });
  const ComparisonReport r = compare(w);
  EXPECT_EQ(r.only_at_target, 1U);
  EXPECT_TRUE(r.holds(false));
  EXPECT_FALSE(r.holds(true));
}

TEST_P(StreamComparisonWays, AFilterAndHopsLeaveNoDifference) {
  ProofWorld w;
  for (int i = 1; i <= 30; ++i) {
    std::string headers;
    if (i % 5 == 0) append_header(headers, "Choria-SR-Source", fmt::format("X {} site worker 1", i));
    const std::string subject = i % 3 == 0 ? "s.kept.x" : "s.left";
    w.source("p" + std::to_string(i), subject, headers);
    if (i % 3 == 0 && i % 5 != 0) w.copy(static_cast<uint64_t>(i), "p" + std::to_string(i), "other.subject");
  }
  ComparisonOptions options{.compare_subjects = false, .filters = {"s.kept.>"}, .max_hops = 1};
  const ComparisonReport r = compare(w, options);
  EXPECT_EQ(r.equal, 8U);
  EXPECT_TRUE(r.holds(false)) << describe(r);
  options.filters = {};
  EXPECT_GT(compare(w, options).missing, 0U);
}

TEST_P(StreamComparisonWays, ASampledCopyIsHeldAgainstWhatItHolds) {
  ProofWorld w;
  for (int i = 1; i <= 3000; ++i) {
    w.source("p" + std::to_string(i));
    if (i % 2 == 0 && i <= 2900) w.copy(static_cast<uint64_t>(i), i == 2500 ? "P" : "p" + std::to_string(i));
  }
  w.settle();
  ASSERT_TRUE(w.stream("S").delete_message(StreamSeq(100), false));
  const ComparisonReport r = compare(w, {.sampled = true});
  EXPECT_EQ(r.equal, 1448U);
  EXPECT_EQ(values(r.different_seqs), std::vector<uint64_t>{2500});
  EXPECT_EQ(r.only_at_target, 1U);
  EXPECT_EQ(r.left_out, 1450U);
  EXPECT_EQ(r.behind, 100U);
  EXPECT_EQ(r.missing, 0U);
}

TEST_P(StreamComparisonWays, WhatTheTargetsLimitsTookIsNoLoss) {
  ProofWorld w;
  for (int i = 1; i <= 2500; ++i) {
    w.source(std::to_string(i));
    w.copy(static_cast<uint64_t>(i), std::to_string(i));
  }
  w.settle();
  w.stream("T").purge({.filter = {}, .below = StreamSeq(1300)}, [](const Result<uint64_t>& purged) { EXPECT_TRUE(purged); });
  ComparisonReport r = compare(w, {.target_limited = true});
  EXPECT_EQ(r.removed_at_target, 1299U);
  EXPECT_EQ(r.equal, 1201U);
  EXPECT_TRUE(r.holds(false));
  EXPECT_FALSE(r.holds(true));
  r = compare(w);
  EXPECT_EQ(r.missing, 1299U);
  EXPECT_EQ(w.missing(3), (std::vector<uint64_t>{1, 2, 3}));
}

TEST_P(StreamComparisonWays, WhateverHappenedIsFoundMessageByMessage) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    ProofWorld w(seed);
    Random& dice = w.world.sim.env().random;
    std::vector<uint64_t> missing;
    std::vector<uint64_t> different;
    std::vector<uint64_t> doubled;
    const uint64_t count = 2000 + dice.below(2000);
    const uint64_t rare = 5 + dice.below(400);
    for (uint64_t i = 1; i <= count; ++i) {
      const std::string payload = fmt::format("p{}", i);
      w.source(payload);
      const uint64_t fate = i == count ? rare : dice.below(rare);
      if (fate == 0) {
        missing.push_back(i);
        continue;
      }
      if (fate == 1) different.push_back(i);
      if (fate == 2) {
        doubled.push_back(i);
        w.copy(i, payload);
      }
      w.copy(i, fate == 1 ? "other" : payload);
      if (dice.below(50) == 0) w.put("T", "t.1", "", "of others");
    }
    const ComparisonReport r = compare(w);
    EXPECT_EQ(values(r.different_seqs), different);
    EXPECT_EQ(values(r.doubled_seqs), doubled);
    EXPECT_EQ(w.missing(), missing);
    EXPECT_EQ(r.missing, missing.size());
    EXPECT_EQ(r.equal, count - missing.size() - different.size());
    EXPECT_EQ(r.behind + r.only_at_target + r.disordered, 0U);
  }
}

TEST(StreamComparison, AMirrorIsComparedByItsOwnSequences) {
  ProofWorld w;
  for (int i = 1; i <= 5; ++i) {
    w.source(std::to_string(i));
    w.put("T", "s.1", "", std::to_string(i));
  }
  w.settle();
  ASSERT_TRUE(w.stream("T").delete_message(StreamSeq(5), false));
  const ComparisonReport r = w.compare({.same_sequences = true});
  EXPECT_EQ(r.equal, 4U);
  EXPECT_EQ(w.missing(), std::vector<uint64_t>{5}) << "the mirror's last sequence tells that it had it";
}

TEST(StreamComparison, LittleIsExchanged) {
  ProofWorld w;
  for (int i = 1; i <= 20'000; ++i) {
    w.source(std::to_string(i));
    w.copy(static_cast<uint64_t>(i), std::to_string(i));
  }
  const ComparisonReport r = w.compare();
  EXPECT_TRUE(r.holds(true));
  EXPECT_EQ(r.equal, 20'000U);
  // 256 parts of some 90 bytes each; the rest is the questions.
  EXPECT_LT(w.source_digests->traffic().bytes, 32'000U);
  EXPECT_LT(w.target_digests->traffic().bytes, 32'000U);
  ASSERT_TRUE(w.stream("T").delete_message(StreamSeq(7777), false));
  EXPECT_EQ(w.compare().missing, 1U);
  EXPECT_EQ(w.missing(), std::vector<uint64_t>{7777});
  EXPECT_LT(w.source_digests->traffic().bytes, 64'000U);
}

TEST(StreamComparison, ItStopsAtSoManyDifferencesAndSaysSo) {
  ProofWorld w;
  for (int i = 1; i <= 3000; ++i) {
    w.source(std::to_string(i));
    w.copy(static_cast<uint64_t>(i), i == 3000 ? "3000" : "other");
  }
  const ComparisonReport r = w.compare({.max_found = 100});
  EXPECT_TRUE(r.stopped);
  EXPECT_GE(r.different, 100U);
  EXPECT_FALSE(r.holds(false));
}

TEST(StreamComparison, AStreamThatIsNotThereIsAnError) {
  ProofWorld w;
  w.source("a");
  w.settle();
  auto source = w.digests("S", true);
  for (const bool served : {true, false}) {
    auto target = w.digests("NONE", served);
    StreamComparison comparison({.source_stream = "S", .source_end = StreamSeq(1), .target_end = StreamSeq(1)}, *source, *target,
                                [&w](const auto& ended) { return w.wait(ended); });
    const Status done = comparison.run();
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().detail, "target: stream not found");
  }
}

}  // namespace
}  // namespace sluice::test
