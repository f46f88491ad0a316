// What makes messages leave: limits, discard, age, retention, rollup, delete, purge, updates.
#include <fmt/format.h>

#include <chrono>

#include "stream/ingest.h"
#include "stream/sequence_limit.h"
#include "stream_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Seqs = std::vector<uint64_t>;

class Limits : public StreamWorld {
 protected:
  void fill(std::string_view subject, int count) {
    for (int i = 0; i < count; ++i) publish(subject);
    settle();
    caught_.clear();
  }
  void update(std::string json) {
    auto config = parse_stream_config(json);
    ASSERT_TRUE(config) << config.error().detail;
    auto stream = streams().update(*config);
    ASSERT_TRUE(stream) << stream.error().api_code << stream.error().detail;
    settle();
  }
  uint16_t update_error(std::string json) {
    auto config = parse_stream_config(json);
    if (!config) return config.error().api_code;
    auto stream = streams().update(*config);
    return stream ? uint16_t{0} : stream.error().api_code;
  }
};

TEST_F(Limits, DiscardOldKeepsTheNewest) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"max_msgs":3})");
  RecordingObserver o;
  s.add_observer(o);
  fill("a", 5);
  EXPECT_EQ(seqs(s), Seqs({3, 4, 5}));
  ASSERT_EQ(o.removed.size(), 2U);
  EXPECT_EQ(o.removed[0], std::make_pair(uint64_t{1}, std::string("a")));
  s.remove_observer(o);
}

/// Sequences never come round: that would give 0 out, and then those of before again.
TEST_F(Limits, AStreamWithoutSequencesLeftRefuses) {
  const auto create_error = [&](uint64_t first) {
    auto config = parse_stream_config(fmt::format(R"({{"name":"F","subjects":["f"],"first_seq":{}}})", first));
    if (!config) return config.error().detail;
    auto made = streams().create(*config);
    return made ? std::string() : made.error().detail;
  };
  EXPECT_NE(create_error(UINT64_MAX).find("first sequence is beyond"), std::string::npos);
  ASSERT_EQ(create_error(kLastStreamSeq.value()), "");
  Stream& s = *streams().find("F");
  fill("f", 1);
  EXPECT_EQ(s.store().state().last_seq, kLastStreamSeq);
  const auto answer = ack("f");
  EXPECT_NE(answer.find("10077"), std::string::npos) << answer;
  EXPECT_NE(answer.find("the stream has no sequences left"), std::string::npos) << answer;
  EXPECT_EQ(s.store().state().messages, 1U);
  EXPECT_EQ(purge_now(s, {.filter = "", .below = StreamSeq(UINT64_MAX), .keep = 0}).error().api_code, 10003);
  EXPECT_EQ(purge_now(s, {.filter = "", .below = kLastStreamSeq.next(), .keep = 0}), 1U);
  EXPECT_NE(ack("f").find("10077"), std::string::npos);
}

TEST_F(Limits, MaxBytesCountsReportedSizes) {
  // In the test's store a record counts subject + payload + 16.
  Stream& s = make(R"({"name":"S","subjects":["a"],"max_bytes":54})");
  fill("a", 4);
  EXPECT_EQ(s.store().state().bytes, 54U);
  EXPECT_EQ(s.store().state().messages, 3U);
}

TEST_F(Limits, StampsNeverFallWhenTheWallClockDoes) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"allow_atomic":true,"allow_direct":true})");
  fill("a", 2);
  const auto stamp = [&](uint64_t seq) { return streams().find("S")->store().load(StreamSeq(seq))->time; };
  sim_.clock().jump_wall(-1h);
  fill("a", 2);
  EXPECT_GE(stamp(3), stamp(2));
  EXPECT_GE(stamp(4), stamp(3));
  publish("a", "x", {{"Nats-Batch-Id", "b"}, {"Nats-Batch-Sequence", "1"}});
  publish("a", "x", {{"Nats-Batch-Id", "b"}, {"Nats-Batch-Sequence", "2"}, {"Nats-Batch-Commit", "1"}});
  settle();
  ASSERT_EQ(s.store().state().last_seq.value(), 6U);
  EXPECT_GE(stamp(5), stamp(4));
  restart();
  fill("a", 1);
  EXPECT_GE(stamp(7), stamp(6)) << "nor over a restart";
  sim_.clock().jump_wall(2h);
  fill("a", 1);
  EXPECT_GT(stamp(8), stamp(7)) << "and they go on as soon as the clock has caught up";
}

TEST_F(Limits, RecordSizesAreTheReferences) {
  EXPECT_EQ(reported_record_size(StorageKind::kFile, 3, 0, 5), 38U);
  EXPECT_EQ(reported_record_size(StorageKind::kFile, 3, 20, 5), 62U);
  EXPECT_EQ(reported_record_size(StorageKind::kMemory, 3, 20, 5), 44U);
}

TEST_F(Limits, DiscardNewRefuses) {
  make(R"({"name":"S","subjects":["a"],"max_msgs":1,"discard":"new"})");
  ack("a");
  EXPECT_EQ(error_of(ack("a")), "10077 maximum messages exceeded");
  make(R"({"name":"T","subjects":["b"],"max_bytes":60,"discard":"new","storage":"memory"})");
  ack("b", "0123456789");
  ack("b", "0123456789");
  EXPECT_EQ(error_of(ack("b", "0123456789")), "10077 maximum bytes exceeded");
}

TEST_F(Limits, DiscardNewKeepsEverythingWhenTheLimitIsLowered) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"max_msgs":6,"discard":"new"})");
  fill("a", 5);
  update(R"({"name":"S","subjects":["a"],"max_msgs":3,"discard":"new"})");
  EXPECT_EQ(seqs(s), Seqs({1, 2, 3, 4, 5}));
  EXPECT_EQ(error_of(ack("a")), "10077 maximum messages exceeded");
  update(R"({"name":"S","subjects":["a"],"max_bytes":20,"discard":"new"})");
  EXPECT_EQ(seqs(s), Seqs({1, 2, 3, 4, 5}));
  restart();
  EXPECT_EQ(streams().find("S")->store().state().messages, 5U);
  update(R"({"name":"S","subjects":["a"],"max_msgs":3,"discard":"old"})");
  EXPECT_EQ(seqs(*streams().find("S")), Seqs({3, 4, 5}));
}

TEST_F(Limits, DiscardNewWithPerSubjectLimitReplacesTheSubjectsOldest) {
  Stream& s = make(
      R"({"name":"KV_b","subjects":["$KV.b.>"],"max_msgs_per_subject":1,"max_msgs":2,"discard":"new"})");
  ack("$KV.b.k");
  ack("$KV.b.l");
  EXPECT_EQ(ack("$KV.b.k"), R"({"stream":"KV_b","seq":3})");
  EXPECT_EQ(seqs(s), Seqs({2, 3}));
  EXPECT_EQ(error_of(ack("$KV.b.m")), "10077 maximum messages exceeded");
}

TEST_F(Limits, DiscardNewPerSubjectRefuses) {
  make(R"({"name":"S","subjects":["a.*"],"max_msgs_per_subject":1,"discard":"new",
           "discard_new_per_subject":true,"allow_rollup_hdrs":true})");
  ack("a.1");
  EXPECT_EQ(error_of(ack("a.1")), "10077 maximum messages per subject exceeded");
  EXPECT_EQ(ack("a.2"), R"({"stream":"S","seq":2})");
  EXPECT_EQ(ack("a.1", "", {{"Nats-Rollup", "sub"}}), R"({"stream":"S","seq":3})");
}

TEST_F(Limits, PerSubjectLimit) {
  Stream& s = make(R"({"name":"S","subjects":["a.*"],"max_msgs_per_subject":2})");
  fill("a.1", 3);
  fill("a.2", 1);
  fill("a.1", 1);
  EXPECT_EQ(seqs(s), Seqs({3, 4, 5}));
}

TEST_F(Limits, AgeRemovesWithinASecond) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"max_age":5000000000})");
  fill("a", 2);
  sim_.advance(3s);
  fill("a", 1);
  sim_.advance(1900ms);
  EXPECT_EQ(seqs(s), Seqs({1, 2, 3}));
  sim_.advance(1100ms);
  EXPECT_EQ(seqs(s), Seqs({3}));
  sim_.advance(3s);
  EXPECT_EQ(s.store().state().messages, 0U);
  fill("a", 1);
  sim_.advance(6s);
  EXPECT_EQ(s.store().state().messages, 0U);
  EXPECT_EQ(s.store().state().first_seq.value(), 5U);
}

TEST_F(Limits, AgeGoesOnAfterRestart) {
  make(R"({"name":"S","subjects":["a"],"max_age":5000000000})");
  fill("a", 2);
  restart();
  sim_.advance(6s);
  EXPECT_EQ(streams().find("S")->store().state().messages, 0U);
}

TEST_F(Limits, Rollup) {
  Stream& s = make(R"({"name":"S","subjects":["a.*"],"allow_rollup_hdrs":true})");
  fill("a.1", 2);
  fill("a.2", 1);
  ack("a.1", "x", {{"Nats-Rollup", "SUB"}});
  EXPECT_EQ(seqs(s), Seqs({3, 4}));
  ack("a.3", "x", {{"Nats-Rollup", "all"}});
  EXPECT_EQ(seqs(s), Seqs({5}));
  EXPECT_EQ(error_of(ack("a.1", "x", {{"Nats-Rollup", "no"}})),
            "10111 rollup value invalid: \\\"no\\\"");
  make(R"({"name":"T","subjects":["b"]})");
  EXPECT_EQ(error_of(ack("b", "x", {{"Nats-Rollup", "sub"}})), "10111 rollup not permitted");
}

TEST_F(Limits, InterestKeepsOnlyWhatIsNeeded) {
  Stream& s = make(R"({"name":"S","subjects":["a.*"],"retention":"interest"})");
  EXPECT_EQ(ack("a.1"), R"({"stream":"S","seq":1})");
  EXPECT_EQ(s.store().state().messages, 0U);
  EXPECT_EQ(s.store().state().first_seq.value(), 2U);
  RecordingObserver one("a.1"), all(">");
  s.add_observer(one);
  s.add_observer(all);
  fill("a.1", 2);
  one.acked = {2};
  s.consumer_done(StreamSeq(2));
  EXPECT_EQ(seqs(s), Seqs({2, 3}));
  all.acked = {2};
  s.consumer_done(StreamSeq(2));
  EXPECT_EQ(seqs(s), Seqs({3}));
  s.remove_observer(all);
  s.interest_changed();
  settle();
  EXPECT_EQ(seqs(s), Seqs({3}));
  s.remove_observer(one);
  s.interest_changed();
  settle();
  EXPECT_EQ(seqs(s), Seqs({}));
}

TEST_F(Limits, DuplicatesOfUnstoredMessagesAreKnown) {
  make(R"({"name":"S","subjects":["a"],"retention":"interest"})");
  ack("a", "x", {{"Nats-Msg-Id", "i"}});
  EXPECT_EQ(ack("a", "x", {{"Nats-Msg-Id", "i"}}), R"({"stream":"S","seq":1,"duplicate": true})");
}

TEST_F(Limits, WorkQueueRemovesWhatIsDone) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"retention":"workqueue"})");
  fill("a", 3);
  s.consumer_done(StreamSeq(2));
  EXPECT_EQ(seqs(s), Seqs({1, 3}));
}

TEST_F(Limits, ChangingToInterestSweeps) {
  Stream& s = make(R"({"name":"S","subjects":["a"]})");
  fill("a", 2500);
  update(R"({"name":"S","subjects":["a"],"retention":"interest"})");
  EXPECT_EQ(s.store().state().messages, 0U);
}

TEST_F(Limits, DeleteMessage) {
  Stream& s = make(R"({"name":"S","subjects":["a"]})");
  fill("a", 3);
  EXPECT_TRUE(s.delete_message(StreamSeq(2), true));
  EXPECT_EQ(s.delete_message(StreamSeq(2), true).error().api_code, 10043);
  EXPECT_EQ(s.delete_message(StreamSeq(2), true).error().detail, "2");
  EXPECT_TRUE(s.delete_message(StreamSeq(1), true));
  EXPECT_EQ(s.delete_message(StreamSeq(1), true).error().detail, "no message found");
  EXPECT_EQ(s.delete_message(StreamSeq(0), true).error().api_code, 10057);
  EXPECT_EQ(s.delete_message(StreamSeq(9), true).error().detail, "stream store EOF");
  make(R"({"name":"T","subjects":["b"],"deny_delete":true,"deny_purge":true})");
  fill("b", 1);
  EXPECT_EQ(streams().find("T")->delete_message(StreamSeq(1), true).error().detail,
            "message delete not permitted");
  EXPECT_EQ(purge_now(*streams().find("T"), {}).error().detail, "stream purge not permitted");
}

TEST_F(Limits, DeleteOfAMissingMessageInMemory) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"storage":"memory"})");
  fill("a", 3);
  EXPECT_TRUE(s.delete_message(StreamSeq(1), true));
  for (const uint64_t seq : {uint64_t{0}, uint64_t{1}, uint64_t{4}})
    EXPECT_EQ(s.delete_message(StreamSeq(seq), true).error().api_code, 10043) << seq;
}

TEST_F(Limits, Purge) {
  Stream& s = make(R"({"name":"S","subjects":["a.*"]})");
  fill("a.1", 4);
  fill("a.2", 4);
  EXPECT_EQ(purge_now(s, {.filter = "a.1", .below = StreamSeq(3), .keep = 0}), 2U);
  EXPECT_EQ(seqs(s), Seqs({3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(purge_now(s, {.filter = "a.*", .below = {}, .keep = 5}), 1U);
  ASSERT_TRUE(s.delete_message(StreamSeq(7), false));
  EXPECT_EQ(purge_now(s, {.filter = "", .below = {}, .keep = 3}), 1U);
  EXPECT_EQ(seqs(s), Seqs({5, 6, 8}));
  EXPECT_EQ(purge_now(s, {.filter = "", .below = StreamSeq(6), .keep = 1}).error().api_code, 10003);
  EXPECT_EQ(purge_now(s, {.filter = "", .below = StreamSeq(6), .keep = 0}), 1U);
  EXPECT_EQ(purge_now(s, {}), 2U);
  EXPECT_EQ(s.store().state().first_seq.value(), 9U);
  EXPECT_EQ(purge_now(s, {.filter = "", .below = StreamSeq(100), .keep = 0}), 0U);
  settle();
  EXPECT_EQ(s.visible_last().value(), 99U);
  EXPECT_EQ(ack("a.1"), R"({"stream":"S","seq":100})");
}

TEST_F(Limits, KeepCountsOverAGapAtTheEnd) {
  Stream& s = make(R"({"name":"S","subjects":["a"]})");
  fill("a", 6);
  ASSERT_TRUE(s.delete_message(StreamSeq(6), false));
  EXPECT_EQ(purge_now(s, {.filter = "", .below = {}, .keep = 2}), 3U);
  EXPECT_EQ(seqs(s), Seqs({4, 5}));
}

TEST_F(Limits, UpdatesTrimAtOnce) {
  Stream& s = make(R"({"name":"S","subjects":["a.*"]})");
  fill("a.1", 400);
  fill("a.2", 10);
  update(R"({"name":"S","subjects":["a.*"],"max_msgs_per_subject":9})");
  EXPECT_EQ(s.store().state().messages, 18U);
  update(R"({"name":"S","subjects":["a.*"],"max_msgs":4})");
  EXPECT_EQ(seqs(s), Seqs({407, 408, 409, 410}));
  sim_.advance(10s);
  update(R"({"name":"S","subjects":["a.*"],"max_age":1000000000,"duplicate_window":1000000000})");
  sim_.advance(1s);
  EXPECT_EQ(seqs(s), Seqs({}));
}

TEST_F(Limits, UpdateMovesSubjects) {
  make(R"({"name":"S","subjects":["a"]})");
  update(R"({"name":"S","subjects":["b"]})");
  EXPECT_EQ(ack("a"), "");
  EXPECT_EQ(ack("b"), R"({"stream":"S","seq":1})");
  restart();
  EXPECT_EQ(ack("b"), R"({"stream":"S","seq":2})");
}

TEST_F(Limits, UpdateRules) {
  make(R"({"name":"S","subjects":["a"],"deny_delete":true})");
  make(R"({"name":"T","subjects":["b"]})");
  EXPECT_EQ(update_error(R"({"name":"U","subjects":["c"]})"), 10059);
  EXPECT_EQ(update_error(R"({"name":"S","subjects":["a"]})"), 10052);
  EXPECT_EQ(update_error(R"({"name":"T","subjects":["b"],"storage":"memory"})"), 10052);
  EXPECT_EQ(update_error(R"({"name":"T","subjects":["b"],"retention":"workqueue"})"), 10052);
  EXPECT_EQ(update_error(R"({"name":"T","subjects":["a"]})"), 10065);
}

TEST_F(Limits, ASealedStreamIsReadOnly) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"max_age":1000000000})");
  fill("a", 1);
  update(R"({"name":"S","subjects":["a"],"sealed":true})");
  EXPECT_TRUE(s.config().deny_delete);
  EXPECT_TRUE(s.config().deny_purge);
  EXPECT_EQ(s.config().discard, Discard::kNew);
  EXPECT_EQ(error_of(ack("a")), "10109 invalid operation on sealed stream");
  EXPECT_EQ(purge_now(s, {}).error().api_code, 10109);
  EXPECT_EQ(s.delete_message(StreamSeq(1), true).error().api_code, 10109);
  sim_.advance(5s);
  EXPECT_EQ(s.store().state().messages, 1U);
}

TEST_F(Limits, CreateRules) {
  options_.max_streams = 2;
  options_.max_file_bytes = 1000;
  make(R"({"name":"S","subjects":["a.*"],"max_bytes":600})");
  auto code = [this](std::string json) {
    auto config = parse_stream_config(json);
    auto made = config ? streams().create(*config) : std::unexpected(config.error());
    return made ? uint16_t{0} : made.error().api_code;
  };
  EXPECT_EQ(code(R"({"name":"S","subjects":["a.*"],"max_bytes":600})"), 0);
  EXPECT_EQ(code(R"({"name":"S","subjects":["a.*"]})"), 10058);
  EXPECT_EQ(code(R"({"name":"T","subjects":["a.b"]})"), 10065);
  EXPECT_EQ(code(R"({"name":"T","subjects":["b"],"max_bytes":600})"), 10047);
  EXPECT_EQ(code(R"({"name":"T","subjects":["b"]})"), 0);
  EXPECT_EQ(code(R"({"name":"U","subjects":["c"]})"), 10027);
}

TEST_F(Limits, DeletingTellsListenersAndObservers) {
  std::vector<std::string> heard;
  streams().on_created([&](Stream& s) { heard.push_back("+" + s.config().name); });
  streams().on_deleting([&](Stream& s) { heard.push_back("-" + s.config().name); });
  Stream& s = make(R"({"name":"S","subjects":["a"]})");
  RecordingObserver o;
  s.add_observer(o);
  EXPECT_TRUE(streams().remove("S"));
  EXPECT_TRUE(o.deleted);
  EXPECT_EQ(heard, std::vector<std::string>({"+S", "-S"}));
  EXPECT_EQ(streams().remove("S").error().api_code, 10059);
  restart();
  EXPECT_EQ(streams().size(), 0U);
}

TEST_F(Limits, AStreamWithUnreadableMetaIsLeftAlone) {
  store_.plant("X", R"({"config":{"name":"X","of_a_later_version":1},"created":"2026-01-01T00:00:00Z"})");
  EXPECT_EQ(streams().size(), 0U);
  EXPECT_EQ(streams().create(*parse_stream_config(R"({"name":"X"})")).error().api_code, 10058);
  EXPECT_EQ(store_.streams().size(), 1U);
}

TEST_F(Limits, FirstSequence) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"first_seq":10})");
  EXPECT_EQ(s.store().state().first_seq.value(), 10U);
  EXPECT_EQ(ack("a"), R"({"stream":"S","seq":10})");
}

}  // namespace
}  // namespace sluice
