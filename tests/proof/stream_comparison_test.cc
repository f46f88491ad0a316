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

TEST_P(StreamComparisonWays, SubjectsThatTheCopyRewrites) {
  ProofWorld w;
  for (int i = 1; i <= 20; ++i) {
    w.source("p", fmt::format("s.{}", i));
    w.copy(static_cast<uint64_t>(i), "p", i == 7 ? "eu.wrong" : fmt::format("eu.t.{}", i));
  }
  const ComparisonReport r = compare(w, {.rewrite = {.prefix = "eu", .remove = {}, .transforms = {{"s.*", "t.$1"}}}});
  EXPECT_EQ(r.equal, 19U);
  EXPECT_EQ(values(r.different_seqs), std::vector<uint64_t>{7});
}

TEST_P(StreamComparisonWays, TwoHopsOfStreamsOfOneNameAndTwoSitesInOneTarget) {
  ProofWorld w;
  for (uint64_t i = 1; i <= 10; ++i) {
    w.source(fmt::format("p{}", i));
    std::string headers;
    append_header(headers, "Choria-SR-Source", fmt::format("S {} east first 1", i));
    w.copy(i + 100, i == 4 ? "P" : fmt::format("p{}", i), "s.1", headers);       // the second hop
    w.put("T", "s.1", "NATS/1.0\r\nChoria-SR-Source: S " + std::to_string(i) + " west copy 1\r\n\r\n", "of another site");
  }
  ComparisonReport r = compare(w, {.hop = 2});
  EXPECT_EQ(r.equal, 9U);
  EXPECT_EQ(values(r.different_seqs), std::vector<uint64_t>{4});
  EXPECT_EQ(r.of_others, 10U);
  r = compare(w, {.replicator = "east", .worker = "first"});
  EXPECT_EQ(r.equal, 9U);
  r = compare(w, {.replicator = "west"});
  EXPECT_EQ(r.different, 10U);
}

TEST_P(StreamComparisonWays, CopiesOfAWrongPlaceAreNamedOneByOne) {
  ProofWorld w;
  for (uint64_t i = 1; i <= 5; ++i) {
    w.source(fmt::format("p{}", i));
    w.copy(i, fmt::format("p{}", i));
  }
  w.copy(2, "wrong");   // 6
  w.copy(2, "p2");      // 7
  w.copy(2, "wrong");   // 8
  const ComparisonReport r = compare(w);
  ASSERT_EQ(r.wrong_places.size(), 1U);
  auto copies = w.comparison->copies_of(r.wrong_places[0]);
  ASSERT_TRUE(copies.has_value()) << copies.error().detail;
  EXPECT_EQ(*copies, (std::vector<HeldCopy>{{StreamSeq(2), true}, {StreamSeq(6), false}, {StreamSeq(7), true}, {StreamSeq(8), false}}));
  ASSERT_TRUE(w.stream("S").delete_message(StreamSeq(2), false));
  copies = w.comparison->copies_of(r.wrong_places[0]);
  ASSERT_FALSE(copies.has_value());
  EXPECT_EQ(copies.error().code, Errc::kNotFound);
}

/// Blocking calls on the simulated engine.
struct HealSides final : HealSource, HealTarget {
  explicit HealSides(ProofWorld& of) : w(of) {}
  template <class T, class Start>
  Result<T> await(Start start) {
    std::optional<Result<T>> got;
    Ticket call = start([&](Result<T> result) { got = std::move(result); });
    EXPECT_TRUE(w.wait([&] { return got.has_value(); }));
    return *std::move(got);
  }
  Result<StoredCopy> message(StreamSeq seq) override {
    return await<StoredCopy>([&](auto done) { return w.client->get_message("S", seq, std::move(done)); });
  }
  Result<StoredCopy> last_message(const std::string& subject) override {
    return await<StoredCopy>([&](auto done) { return w.client->last_message("T", subject, std::move(done)); });
  }
  Result<PubAck> publish(const LinkMessage& message) override {
    return await<PubAck>([&](auto done) { return w.client->publish(message, 5s, std::move(done)); });
  }
  Status remove(StreamSeq own) override { return w.stream("T").delete_message(own, false) ? Status() : fail(Errc::kNotFound, "gone"); }
  ProofWorld& w;
};

TEST_P(StreamComparisonWays, HealingMendsEverythingOnceAndASecondRunFindsNothing) {
  ProofWorld w;
  for (uint64_t i = 1; i <= 200; ++i) {
    w.source(fmt::format("p{}", i), fmt::format("s.{}", i));
    if (i == 20) continue;
    w.copy(i, i % 50 == 7 ? "wrong" : fmt::format("p{}", i), fmt::format("t.s.{}", i));
    if (i == 100) w.copy(i, "p100", "t.s.100");
  }
  const ComparisonOptions options{.rewrite = {.prefix = "t", .remove = {}, .transforms = {}}};
  const auto work = [&](const ComparisonReport& r) {
    HealWork out;
    for (const uint64_t seq : w.missing()) out.missing.push_back(StreamSeq(seq));
    for (const auto& place : r.wrong_places) out.wrong.push_back({place.seq, *w.comparison->copies_of(place)});
    return out;
  };
  ComparisonReport r = compare(w, options);
  EXPECT_EQ(values(r.different_seqs), (std::vector<uint64_t>{7, 57, 107, 157}));
  HealSides sides(w);
  HealOptions how{.source_stream = "S", .target_stream = "T"};
  how.rewrite = *SubjectRewrite::make(options.rewrite);
  const HealReport healed = Healing(how, sides, sides).run(work(r));
  EXPECT_FALSE(healed.ended) << healed.ended->detail;
  EXPECT_EQ(healed.healed, 5U);
  EXPECT_EQ(healed.removed, 5U);
  r = compare(w, options);
  EXPECT_TRUE(r.holds(false)) << describe(r);
  EXPECT_EQ(r.equal, 200U);
  EXPECT_EQ(r.disordered, 5U) << "a stream only appends";
  const HealWork nothing = work(r);
  EXPECT_TRUE(nothing.missing.empty() && nothing.wrong.empty());
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
