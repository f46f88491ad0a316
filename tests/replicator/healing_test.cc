// The healing of a copy against streams that are full, lose messages, or stop answering.
#include "replicator/healing.h"

#include <gtest/gtest.h>

#include <map>

#include "base/headers.h"
#include "proof/copy_marks.h"

namespace sluice {
namespace {

using Seqs = std::vector<StreamSeq>;

struct Source final : HealSource {
  Result<StoredCopy> message(StreamSeq seq) override {
    if (fails) return std::unexpected(*fails);
    const auto found = stored.find(seq);
    if (found == stored.end()) return fail(Errc::kNotFound, "no message found");
    return found->second;
  }
  void put(uint64_t seq, const std::string& payload, const std::string& subject = "a", const std::string& headers = "") {
    stored[StreamSeq(seq)] = {.seq = StreamSeq(seq), .subject = subject, .headers = headers, .payload = payload, .time = 1'000'000};
  }
  std::map<StreamSeq, StoredCopy> stored;
  std::optional<Error> fails;
};

struct Target final : HealTarget {
  Result<StoredCopy> last_message(const std::string& subject) override {
    for (auto one = stored.rbegin(); one != stored.rend(); ++one)
      if (one->second.subject == subject) return one->second;
    return fail(Errc::kNotFound, "no message found");
  }
  Result<PubAck> publish(const LinkMessage& m) override {
    ++publishes;
    if (publishes > answers_until) return fail(Errc::kClosed, "not connected");
    if (stored.size() >= room) return fail_api(Errc::kRefused, 10077, "maximum messages exceeded");
    const std::string id(find_header(m.headers, "Nats-Msg-Id").value_or(""));
    if (ids.contains(id)) return PubAck{stream, ids[id], true};
    ids[id] = put(m.subject, m.headers, m.payload);
    if (publishes == loses_the_answer_of) return fail(Errc::kTimeout, "no answer");
    return PubAck{stream, ids[id], false};
  }
  Status remove(StreamSeq own) override {
    if (keeps) return fail_api(Errc::kRefused, 10057, "denied");
    removed.push_back(own);
    stored.erase(own);
    return {};
  }
  StreamSeq put(std::string_view subject, std::string_view headers, std::string_view payload) {
    last = last.next();
    stored[last] = {.seq = last, .subject = std::string(subject), .headers = std::string(headers), .payload = std::string(payload)};
    return last;
  }
  StreamSeq copy(uint64_t of, std::string_view payload, std::string_view subject = "a") {
    std::string headers;
    append_header(headers, kProvenanceHeader, "S " + std::to_string(of) + " site worker 1");
    return put(subject, headers, payload);
  }
  std::vector<std::string> payloads() const {
    std::vector<std::string> out;
    for (const auto& [seq, m] : stored) out.push_back(m.payload);
    return out;
  }
  std::map<StreamSeq, StoredCopy> stored;
  std::map<std::string, StreamSeq> ids;
  Seqs removed;
  std::string stream = "T";
  StreamSeq last{};
  uint64_t publishes = 0;
  uint64_t answers_until = UINT64_MAX;
  uint64_t loses_the_answer_of = 0;
  size_t room = SIZE_MAX;
  bool keeps = false;
};

struct HealingTest : testing::Test {
  HealReport heal(const HealWork& work, HealOptions options = {}) {
    options.source_stream = "S";
    options.target_stream = "T";
    return Healing(std::move(options), source, target).run(work);
  }
  Source source;
  Target target;
};

TEST_F(HealingTest, WhatIsMissingIsWrittenUnderTheCopysSubject) {
  source.put(2, "two", "orders.7");
  HealOptions options{.replicator = "R", .worker = "W"};
  options.rewrite = *SubjectRewrite::make({.prefix = "eu", .remove = {}, .transforms = {}});
  const HealReport r = heal({.missing = {StreamSeq(2)}}, std::move(options));
  EXPECT_EQ(r.healed, 1U);
  const StoredCopy& written = target.stored.begin()->second;
  EXPECT_EQ(written.subject, "eu.orders.7");
  EXPECT_EQ(find_copy_mark(written.headers, {"S", "R", "W"}).origin, StreamSeq(2)) << "it counts as that copy's";
  EXPECT_FALSE(find_copy_mark(written.headers, {"S", "R", "X"}).origin);
}

TEST_F(HealingTest, AWrongOneGoesOnlyWhenTheRightOneIsThere) {
  source.put(1, "right");
  const StreamSeq wrong = target.copy(1, "wrong");
  const HealReport r = heal({.wrong = {{StreamSeq(1), {{wrong, false}}}}});
  EXPECT_EQ(r.healed, 1U);
  EXPECT_EQ(r.removed, 1U);
  EXPECT_EQ(r.removed_seqs, Seqs{wrong});
  EXPECT_EQ(target.payloads(), std::vector<std::string>{"right"});
}

TEST_F(HealingTest, OfDoubledOnesTheFirstRightOneStays) {
  source.put(1, "right");
  const StreamSeq wrong = target.copy(1, "wrong");
  const StreamSeq first = target.copy(1, "right");
  const StreamSeq second = target.copy(1, "right");
  const HealReport r = heal({.wrong = {{StreamSeq(1), {{wrong, false}, {first, true}, {second, true}}}}});
  EXPECT_EQ(r.healed, 0U) << "nothing to write";
  EXPECT_EQ(target.removed, (Seqs{wrong, second}));
  EXPECT_TRUE(target.stored.contains(first));
}

TEST_F(HealingTest, AFullTargetLosesNothingAndEndsTheRun) {
  HealWork work;
  for (uint64_t i = 1; i <= 40; ++i) {
    source.put(i, "right");
    work.wrong.push_back({StreamSeq(i), {{target.copy(i, "wrong"), false}}});
  }
  target.room = target.stored.size();
  const HealReport r = heal(work);
  EXPECT_EQ(r.healed, 0U);
  EXPECT_EQ(r.removed, 0U);
  EXPECT_EQ(target.stored.size(), 40U) << "what can't be replaced is not removed";
  ASSERT_TRUE(r.ended);
  EXPECT_NE(r.ended->detail.find("maximum messages exceeded"), std::string::npos);
  EXPECT_EQ(target.publishes, Healing::kMaxRefusedInARow) << "it is not asked 40 times";
}

TEST_F(HealingTest, WhatHasGoneAtTheSourceMeanwhileIsLeftAsItIs) {
  source.put(2, "right");
  const StreamSeq wrong = target.copy(1, "wrong");
  const HealReport r = heal({.missing = {StreamSeq(2), StreamSeq(3)}, .wrong = {{StreamSeq(1), {{wrong, false}}}}});
  EXPECT_EQ(r.healed, 1U);
  EXPECT_EQ(r.removed, 0U);
  EXPECT_FALSE(r.ended);
  ASSERT_EQ(r.left.size(), 2U);
  EXPECT_EQ(r.left[0].first, StreamSeq(3));
  EXPECT_NE(r.left[1].second.find("no message found"), std::string::npos);
  EXPECT_TRUE(target.stored.contains(wrong));
}

TEST_F(HealingTest, ARunThatIsCutOffIsEndedByTheNext) {
  HealWork work;
  for (uint64_t i = 1; i <= 6; ++i) source.put(i, "right");
  work.missing = {StreamSeq(1), StreamSeq(2), StreamSeq(3)};
  work.wrong = {{StreamSeq(4), {{target.copy(4, "wrong"), false}}}, {StreamSeq(5), {{target.copy(5, "wrong"), false}}}};
  target.answers_until = 4;
  HealReport r = heal(work);
  ASSERT_TRUE(r.ended);
  EXPECT_EQ(r.healed, 4U);
  EXPECT_EQ(r.removed, 1U);
  target.answers_until = UINT64_MAX;
  // What the next comparison finds.
  r = heal({.missing = {}, .wrong = {work.wrong[1]}});
  EXPECT_FALSE(r.ended);
  EXPECT_EQ(target.payloads(), std::vector<std::string>(5, "right"));
}

TEST_F(HealingTest, ALostAnswerWritesOnceAndASecondRunNothing) {
  source.put(1, "right");
  target.loses_the_answer_of = 1;
  EXPECT_EQ(heal({.missing = {StreamSeq(1)}}).healed, 1U);
  EXPECT_EQ(target.stored.size(), 1U);
  EXPECT_EQ(target.publishes, 2U) << "asked once more, under the same id";
  const HealReport again = heal({.missing = {StreamSeq(1)}});  // by a stale list
  EXPECT_EQ(again.healed, 0U);
  EXPECT_NE(again.left.at(0).second.find("duplicate window"), std::string::npos);
  EXPECT_EQ(target.stored.size(), 1U);
}

TEST_F(HealingTest, WhatCantBeRemovedIsToldAndEndsTheRun) {
  source.put(1, "right");
  source.put(2, "right");
  target.keeps = true;
  const StreamSeq wrong = target.copy(1, "wrong");
  const HealReport r = heal({.wrong = {{StreamSeq(1), {{wrong, false}}}, {StreamSeq(2), {{target.copy(2, "wrong"), false}}}}});
  ASSERT_TRUE(r.ended);
  EXPECT_NE(r.ended->detail.find("message 1 can't be removed"), std::string::npos) << r.ended->detail;
  EXPECT_EQ(r.healed, 1U) << "the second is not doubled too";
}

TEST_F(HealingTest, ADryRunChangesNothingAndTellsWhatWouldBe) {
  source.put(1, "right");
  source.put(2, "two");
  const StreamSeq wrong = target.copy(1, "wrong");
  const HealReport r = heal({.missing = {StreamSeq(2)}, .wrong = {{StreamSeq(1), {{wrong, false}}}}}, {.dry_run = true});
  EXPECT_EQ(r.healed, 2U);
  EXPECT_EQ(r.removed_seqs, Seqs{wrong});
  EXPECT_EQ(target.publishes, 0U);
  EXPECT_TRUE(target.removed.empty());
}

TEST_F(HealingTest, AnOlderValueNeverBecomesTheLatest) {
  source.put(1, "old");
  source.put(5, "last");
  target.copy(3, "newer");
  HealReport r = heal({.missing = {StreamSeq(1)}}, {.keeps_newest_of_subject = true});
  EXPECT_EQ(r.healed, 0U);
  EXPECT_NE(r.left.at(0).second.find("newer message"), std::string::npos);
  const StreamSeq wrong = target.copy(5, "wrong");
  r = heal({.wrong = {{StreamSeq(5), {{wrong, false}}}}}, {.keeps_newest_of_subject = true});
  EXPECT_EQ(r.healed, 1U) << "the latest itself is replaced";
  EXPECT_EQ(target.payloads(), (std::vector<std::string>{"newer", "last"}));
}

TEST_F(HealingTest, ASubjectOfAnotherStreamEndsTheRun) {
  source.put(1, "x");
  source.put(2, "x");
  target.stream = "OTHER";
  const HealReport r = heal({.missing = {StreamSeq(1), StreamSeq(2)}});
  ASSERT_TRUE(r.ended);
  EXPECT_EQ(target.publishes, 1U);
}

}  // namespace
}  // namespace sluice
