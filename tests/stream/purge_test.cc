// Purges of more than one turn of the loop has time for.
#include <algorithm>
#include <map>

#include "stream_world.h"

namespace sluice {
namespace {

using Seqs = std::vector<uint64_t>;

class SlicedPurge : public StreamWorld {
 protected:
  /// `count` messages on a.0, a.1, a.0, … are sequences 1, 2, 3, …
  Stream& filled(int count, std::string_view rest = "") {
    Stream& s = make(R"({"name":"S","subjects":["a.*"])" + std::string(rest) + "}");
    for (int i = 0; i < count; ++i) {
      publish(i % 2 == 0 ? "a.0" : "a.1", "x", {}, "");
      if (i % 1000 == 999) settle();
    }
    settle();
    return s;
  }
  void ask(const std::string& name, PurgeRequest request) {
    streams().find("S")->purge(request, [this, name](Result<uint64_t> purged) {
      answers_[name] = purged ? std::to_string(*purged) : "error " + std::to_string(purged.error().api_code);
    });
  }
  /// Fires what is due, one at a time. @return the most messages that one of them removed
  uint64_t most_removed_at_once(Stream& s) {
    uint64_t most = 0;
    for (uint64_t before = s.store().state().messages; sim_.events().run_one_due();) {
      const uint64_t now = s.store().state().messages;
      most = std::max(most, before - now);
      before = now;
    }
    return most;
  }

  std::map<std::string, std::string> answers_;
};

TEST_F(SlicedPurge, OfAFilterRemovesAThousandATurn) {
  Stream& s = filled(10'000);
  RecordingObserver observer;
  s.add_observer(observer);
  ask("p", {.filter = "a.0", .below = {}});
  EXPECT_EQ(s.store().state().messages, 9000U);
  EXPECT_EQ(s.store().subject_state("a.0")->first.value(), 2001U);  // the oldest went
  EXPECT_TRUE(answers_.empty());
  publish("a.0");  // came after the request: stays
  EXPECT_LE(most_removed_at_once(s), 1000U);
  EXPECT_EQ(answers_["p"], "5000");
  EXPECT_EQ(s.store().state().messages, 5001U);
  EXPECT_EQ(s.store().subject_state("a.0")->first.value(), 10'001U);
  ASSERT_EQ(observer.removed.size(), 5000U);
  for (size_t i = 0; i < 5000; ++i) ASSERT_EQ(observer.removed[i].first, 2 * i + 1);
  s.remove_observer(observer);
}

TEST_F(SlicedPurge, BelowASequenceRemovesTenThousandATurn) {
  Stream& s = filled(35'000);
  ask("p", {.filter = {}, .below = StreamSeq(32'001)});
  EXPECT_EQ(s.store().state().first_seq.value(), 10'001U);
  EXPECT_TRUE(answers_.empty());
  EXPECT_LE(most_removed_at_once(s), 10'000U);
  EXPECT_EQ(answers_["p"], "32000");
  EXPECT_EQ(s.store().state().first_seq.value(), 32'001U);
  EXPECT_EQ(s.store().subject_state("a.0")->count, 1500U);
}

TEST_F(SlicedPurge, IsOneTurnWhereLittleStays) {
  Stream& s = filled(35'000);
  ASSERT_TRUE(s.delete_message(StreamSeq(34'999), false));
  EXPECT_EQ(purge_now(s, {.filter = {}, .below = {}, .keep = 1000}), 33'999U);
  const auto even = s.store().subject_state("a.1");
  const auto odd = s.store().subject_state("a.0");
  ASSERT_TRUE(even && odd);
  EXPECT_EQ(even->count + odd->count, 1000U);
  EXPECT_EQ(odd->first.value(), 34'001U);
  EXPECT_EQ(odd->last.value(), 34'997U);
  EXPECT_EQ(even->last.value(), 35'000U);
  EXPECT_EQ(s.store().state().num_subjects, 2U);
  EXPECT_EQ(purge_now(s, {}), 1000U);
}

/// Whoever else removes some of the messages that are to go does not make the purge take some that are to stay.
TEST_F(SlicedPurge, KeepsAsManyAsAskedForWhileOthersRemove) {
  Stream& s = filled(10'000);
  ask("p", {.filter = "a.0", .below = {}, .keep = 10});
  EXPECT_EQ(s.store().state().messages, 9000U);
  for (uint64_t seq = 4001; seq < 4101; seq += 2) ASSERT_TRUE(s.delete_message(StreamSeq(seq), false));  // 50 of a.0
  for (uint64_t seq = 4002; seq < 4102; seq += 2) ASSERT_TRUE(s.delete_message(StreamSeq(seq), false));
  for (int i = 0; i < 5; ++i) publish("a.0");
  EXPECT_LE(most_removed_at_once(s), 1000U);
  EXPECT_EQ(answers_["p"], std::to_string(5000 - 50 - 10));
  const auto kept = s.store().subject_state("a.0");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->count, 15U);
  EXPECT_EQ(kept->first.value(), 9981U);
}

TEST_F(SlicedPurge, CountsAnewWhenManyWentAtOnce) {
  Stream& s = filled(10'000, R"(,"allow_rollup_hdrs":true)");
  ask("p", {.filter = "a.0", .below = {}, .keep = 10});
  publish("a.1", "all", {{"Nats-Rollup", "all"}});  // takes every other message
  most_removed_at_once(s);
  settle();
  EXPECT_EQ(answers_["p"], "1000");
  EXPECT_EQ(seqs(s), Seqs{10'001});
}

TEST_F(SlicedPurge, OneAfterTheOther) {
  Stream& s = filled(8000);
  ask("first", {.filter = "a.0", .below = {}});
  ask("second", {.filter = "a.*", .below = {}, .keep = 100});
  ask("third", {});
  EXPECT_LE(most_removed_at_once(s), 1000U);
  EXPECT_EQ(answers_["first"], "4000");
  EXPECT_EQ(answers_["second"], "3900");
  EXPECT_EQ(answers_["third"], "100");
}

TEST_F(SlicedPurge, EndsWithItsStream) {
  filled(8000);
  ask("first", {.filter = "a.0", .below = {}});
  ask("second", {.filter = "a.1", .below = {}});
  ASSERT_TRUE(streams().remove("S"));
  settle();
  EXPECT_EQ(answers_["first"], "error 10059");
  EXPECT_EQ(answers_["second"], "error 10059");
}

}  // namespace
}  // namespace sluice
