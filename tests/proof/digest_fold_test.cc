#include "proof/digest_fold.h"

#include <gtest/gtest.h>

#include "base/headers.h"
#include "proof/copy_marks.h"

namespace sluice {
namespace {

constexpr SequenceRange kAll{StreamSeq(1), StreamSeq(1'000'000)};

DigestRequest request(std::string origin = {}) { return {.key = {7}, .origin = std::move(origin), .range = kAll}; }

std::string block(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string out;
  for (const auto& [name, value] : fields) append_header(out, name, value);
  return out;
}

RangeDigest only_digest(DigestFold& fold) {
  EXPECT_EQ(fold.answer().parts.size(), 1U);
  return fold.answer().parts.begin()->second.digest;
}

RangeDigest of_one(DigestRequest r, StreamSeq own, std::string_view subject, std::string_view headers, std::string_view payload) {
  DigestFold fold(std::move(r));
  EXPECT_TRUE(fold.add({own, subject, headers, payload}));
  return only_digest(fold);
}

TEST(DigestFold, ACopyHasTheDigestOfItsOriginal) {
  const std::string original = block({{"Trace", "7"}, {"Nats-Msg-Id", "a"}, {"Nats-Expected-Last-Sequence", "3"}, {"Nats-Batch-Id", "b"}});
  const std::string copy = block({{"Trace", "7"}, {"Choria-SR-Source", "S 41 site worker 1"}, {"Sluice-Copy-Position", "x"},
                                  {"Nats-Msg-Id", "S:41:site:worker"}, {"Sluice-Original-Msg-Id", "a"}});
  EXPECT_EQ(of_one(request(), StreamSeq(41), "a", original, "one"), of_one(request("S"), StreamSeq(9), "a", copy, "one"));
  const std::string sourced = block({{"Trace", "7"}, {"Nats-Stream-Source", "S:hash 41 > > a"}});
  EXPECT_EQ(of_one(request(), StreamSeq(41), "a", original, "one"), of_one(request("S"), StreamSeq(9), "a", sourced, "one"));
}

TEST(DigestFold, EveryPartOfAMessageAndTheKeyCount) {
  const std::string headers = block({{"Trace", "7"}});
  const RangeDigest base = of_one(request(), StreamSeq(1), "ab", headers, "one");
  EXPECT_NE(base, of_one(request(), StreamSeq(2), "ab", headers, "one"));
  EXPECT_NE(base, of_one(request(), StreamSeq(1), "a", headers, "bone"));
  EXPECT_NE(base, of_one(request(), StreamSeq(1), "ab", block({{"Trace", "8"}}), "one"));
  EXPECT_NE(base, of_one(request(), StreamSeq(1), "ab", block({{"Trac", "e7"}}), "one"));
  EXPECT_NE(base, of_one(request(), StreamSeq(1), "ab", block({{"Trace", "7"}, {"T", ""}}), "one"));
  EXPECT_NE(base, of_one(request(), StreamSeq(1), "ab", headers, "onf"));
  DigestRequest other_key = request();
  other_key.key = {8};
  EXPECT_NE(base, of_one(other_key, StreamSeq(1), "ab", headers, "one"));
  DigestRequest without_subjects = request();
  without_subjects.subjects = false;
  EXPECT_EQ(of_one(without_subjects, StreamSeq(1), "ab", headers, "one"), of_one(without_subjects, StreamSeq(1), "c", headers, "one"));
}

TEST(DigestFold, TheSourcesSideMakesOfSubjectsWhatTheCopyMakes) {
  DigestRequest r = request();
  r.rewrite = {.prefix = "eu", .remove = ".x", .transforms = {{"a.*", "b.$1.x"}}};
  const std::string mark = block({{"Choria-SR-Source", "S 1 site worker 1"}});
  EXPECT_EQ(of_one(r, StreamSeq(1), "a.7", "", "one"), of_one(request("S"), StreamSeq(9), "eu.b.7", mark, "one"));
  EXPECT_NE(of_one(r, StreamSeq(1), "a.7", "", "one"), of_one(request("S"), StreamSeq(9), "eu.a.7", mark, "one"));
}

TEST(DigestFold, ARuleSaysWhichMarkOfSeveralCounts) {
  const std::string headers = block({{"Choria-SR-Source", "S 5 east copy 1"}, {"Choria-SR-Source", "S 7 ring copy 1"},
                                     {"Choria-SR-Source", "X 9 west other 1"}});
  const auto origin = [&](MarkRule rule) { return find_copy_mark(headers, rule).origin; };
  EXPECT_EQ(origin({"S"}), StreamSeq(7)) << "the newest of that stream";
  EXPECT_EQ(origin({.stream = "S", .hop = 1}), std::nullopt) << "the newest of all is of X";
  EXPECT_EQ(origin({.stream = "S", .hop = 2}), StreamSeq(7));
  EXPECT_EQ(origin({.stream = "S", .hop = 3}), StreamSeq(5));
  EXPECT_EQ(origin({.stream = "S", .hop = 4}), std::nullopt);
  EXPECT_EQ(origin({.stream = "S", .replicator = "east"}), StreamSeq(5));
  EXPECT_EQ(origin({.stream = "S", .replicator = "ring", .worker = "copy"}), StreamSeq(7));
  EXPECT_EQ(origin({.stream = "S", .replicator = "west"}), std::nullopt);
  const std::string healed = block({{"Choria-SR-Source", "S 5 east copy.heal 1"}, {"Nats-Stream-Source", "S 6 > > a"}});
  EXPECT_EQ(find_copy_mark(healed, {.stream = "S", .replicator = "east", .worker = "copy"}).origin, StreamSeq(5));
  EXPECT_EQ(find_copy_mark(healed, {.stream = "S", .worker = "cop"}).origin, std::nullopt) << "nor is a sourced stream's mark it";
}

TEST(DigestFold, PartsSayWhatIsWhereAndWhatIsNot) {
  DigestRequest r = request("S");
  r.range = {StreamSeq(11), StreamSeq(50)};
  r.span = 10;
  DigestFold fold(r);
  const auto add = [&](uint64_t own, std::string_view origin) {
    const std::string headers = origin.empty() ? std::string() : block({{"Choria-SR-Source", origin}});
    EXPECT_TRUE(fold.add({StreamSeq(own), "a", headers, "x"}));
  };
  add(1, "S 5 site worker 1");   // below the range
  add(2, "S 12 site worker 1");
  add(3, "");                    // of others
  add(4, "S 20 site worker 1");
  add(5, "S 19 site worker 1");  // out of order
  add(6, "T 21 site worker 1");  // of another stream
  add(7, "S 50 site worker 1");
  add(8, "S 99 site worker 1");  // beyond
  add(9, "S 30 site worker");    // no mark: a word is missing
  const DigestAnswer& a = fold.answer();
  EXPECT_EQ(a.read, 9U);
  EXPECT_EQ(a.others, 3U);
  EXPECT_EQ(a.disordered, 1U);
  EXPECT_EQ(a.oldest, StreamSeq(5));
  EXPECT_EQ(a.newest, StreamSeq(99));
  EXPECT_EQ(a.newest_own, StreamSeq(8));
  ASSERT_EQ(a.parts.size(), 2U);
  EXPECT_EQ(a.parts.at(0).count, 3U);
  EXPECT_EQ(a.parts.at(0).own, (SequenceRange{StreamSeq(2), StreamSeq(5)}));
  EXPECT_EQ(a.parts.at(3).count, 1U);
}

TEST(DigestFold, FiltersHopsAndListsLeaveOut) {
  DigestRequest r = request();
  r.filters = {"a.>", "b.*"};
  r.max_hops = 1;
  r.only = {{StreamSeq(1), StreamSeq(2)}, {StreamSeq(4), StreamSeq(9)}};
  DigestFold fold(r);
  fold.add({StreamSeq(1), "a.1", "", ""});
  fold.add({StreamSeq(2), "c", "", ""});
  fold.add({StreamSeq(3), "b.1", "", ""});
  fold.add({StreamSeq(4), "b.2", block({{"Choria-SR-Source", "X 1 site worker 1"}}), ""});
  fold.add({StreamSeq(5), "b.2", "", ""});
  EXPECT_EQ(fold.answer().passed_over, 2U);
  ASSERT_EQ(fold.answer().parts.size(), 2U);
  EXPECT_TRUE(fold.answer().parts.contains(0));
  EXPECT_TRUE(fold.answer().parts.contains(4));
}

TEST(DigestFold, AFullAnswerSaysWhereToGoOnAndPagesMakeAWhole) {
  DigestFold whole(request());
  DigestRequest r = request();
  r.max_parts = 3;
  DigestAnswer merged;
  for (uint64_t seq = 1; seq <= 8; ++seq) whole.add({StreamSeq(seq), "a", "", "x"});
  for (StreamSeq from(1); !from.is_zero(); from = merged.next) {
    r.own.first = from;
    r.seen = merged.newest;
    DigestFold fold(r);
    for (uint64_t seq = from.value(); seq <= 8 && fold.add({StreamSeq(seq), "a", "", "x"}); ++seq) {
    }
    EXPECT_LE(fold.answer().parts.size(), 3U);
    merged.merge(std::move(fold.answer()));
  }
  EXPECT_EQ(merged.read, 8U);
  EXPECT_EQ(merged.newest_own, StreamSeq(8));
  EXPECT_EQ(merged.disordered, 0U);
  EXPECT_EQ(encode(merged), encode(whole.answer()));
}

TEST(DigestRequest, TravelsWhole) {
  DigestRequest r{.key = {1, 2, 3}, .origin = "S", .subjects = false, .max_hops = 2, .filters = {"a", "b.>"},
                  .own = {StreamSeq(3), StreamSeq(UINT64_MAX)}, .range = {StreamSeq(1), StreamSeq(9)}, .span = 4,
                  .only = {{StreamSeq(2), StreamSeq(3)}}, .seen = StreamSeq(5), .max_parts = 10};
  const auto back = parse_digest_request(encode(r));
  ASSERT_TRUE(back.has_value()) << back.error().detail;
  EXPECT_EQ(encode(*back), encode(r));
  EXPECT_EQ(back->key, r.key);
  EXPECT_EQ(back->only, r.only);
  EXPECT_EQ(back->own, r.own);
  DigestAnswer a{.next = StreamSeq(4), .read = 3, .oldest = StreamSeq(1), .newest = StreamSeq(2), .newest_own = StreamSeq(3), .others = 1};
  a.parts[7] = {.count = 2, .own = {StreamSeq(1), StreamSeq(3)}, .digest = of_one(request(), StreamSeq(1), "a", "", "x")};
  const auto answer = parse_digest_answer(encode(a));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(encode(*answer), encode(a));
  EXPECT_EQ(answer->parts.at(7).digest, a.parts.at(7).digest);
}

TEST(DigestRequest, WhatAnOlderSluiceWouldReadOverIsWrittenSoThatItRefuses) {
  DigestRequest r{.key = {1}, .origin = "S", .replicator = "east", .worker = "w", .hop = 2, .rewrite = {.prefix = "p", .remove = "r", .transforms = {{"a.*", "b.$1"}}},
                  .range = kAll};
  const auto back = parse_digest_request(encode(r));
  ASSERT_TRUE(back.has_value()) << back.error().detail;
  EXPECT_EQ(encode(*back), encode(r));
  EXPECT_EQ(back->rewrite.transforms, r.rewrite.transforms);
  EXPECT_EQ(back->hop, 2U);
  EXPECT_TRUE(back->needs_newer_sluice());
  // It knows a text and a truth value only.
  EXPECT_NE(encode(r).find(R"("origin":{)"), std::string::npos);
  EXPECT_NE(encode(r).find(R"("subjects":{)"), std::string::npos);
  EXPECT_FALSE(DigestRequest{.origin = "S"}.needs_newer_sluice());
}

TEST(DigestRequest, WhatCantBeIsRefused) {
  const std::string key(64, 'a');
  const auto refused = [&](const std::string& members) {
    const auto parsed = parse_digest_request("{\"key\":\"" + key + "\"," + members + "}");
    return !parsed && parsed.error().api_code == 10003;
  };
  EXPECT_FALSE(refused(R"("first":1,"last":2)"));
  EXPECT_TRUE(refused(R"("first":0,"last":2)"));
  EXPECT_TRUE(refused(R"("first":3,"last":2)"));
  EXPECT_TRUE(refused(R"("first":1,"last":-2)"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"span":0)"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"own_first":9,"own_last":8)"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"only":[[3,2]])"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"only":[[2,3],[3,4]])"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"only":[2])"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"filters":[1])"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"max_parts":0)"));
  EXPECT_FALSE(refused(R"("first":1,"last":2,"origin":{"stream":"S","hop":2})"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"origin":{"hop":2})"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"origin":{"stream":"S","hop":-1})"));
  EXPECT_FALSE(refused(R"("first":1,"last":2,"subjects":{"prefix":"p"})"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"subjects":{"transforms":[["a"]]})"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"subjects":{"transforms":[["a.*","b.$2"]]})"));
  EXPECT_TRUE(refused(R"("first":1,"last":2,"subjects":{"transforms":[["a.*","b.{{random(3)}}"]]})")) << "no two are alike";
  EXPECT_TRUE(refused(R"("first":1,"last":2,"subjects":{"prefix":")" + std::string(5000, 'p') + "\"}"));
  EXPECT_FALSE(parse_digest_request("[]").has_value());
  EXPECT_FALSE(parse_digest_request(R"({"key":"00","first":1,"last":2})").has_value());
  EXPECT_FALSE(parse_digest_answer(R"({"type":"other"})").has_value());
  const auto error = parse_digest_answer(R"({"type":"x","error":{"err_code":10059,"description":"stream not found"}})");
  ASSERT_FALSE(error.has_value());
  EXPECT_EQ(error.error().api_code, 10059);
}

TEST(DigestRequest, SubjectsStandBesideTheJetStreamApi) {
  EXPECT_EQ(digest_subject_prefix_beside("$JS.API"), "$SLUICE.API.STREAM.DIGEST.");
  EXPECT_EQ(digest_subject_prefix_beside("$JS.hub.API"), "$SLUICE.hub.API.STREAM.DIGEST.");
  EXPECT_EQ(digest_subject_prefix_beside("from.elsewhere"), "");
}

}  // namespace
}  // namespace sluice
