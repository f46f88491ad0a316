// Atomic batches (ADR-50): the dialogue, its codes, all or nothing, what readers see.
#include "stream_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Seqs = std::vector<uint64_t>;
using Headers = std::vector<std::pair<std::string, std::string>>;

class AtomicBatch : public StreamWorld {
 protected:
  AtomicBatch() {
    options_.api_level = 5;
    advisories_ = bus_.subscribe("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>", "",
                                 [this](const Message& m, const Origin&) {
                                   const std::string text(m.payload);
                                   const auto at = text.find(R"("batch":)");
                                   abandoned_.push_back(text.substr(at, text.find('}') - at));
                                 });
  }
  /// One message of a batch; the answer's payload, "none" when there was no answer.
  std::string send(const std::string& id, const std::string& seq, const std::string& commit = {},
                   const Headers& more = {}, std::string_view subject = "b.a", std::string_view payload = "x") {
    Headers headers{{"Nats-Batch-Id", id}, {"Nats-Batch-Sequence", seq}};
    if (!commit.empty()) headers.emplace_back("Nats-Batch-Commit", commit);
    headers.insert(headers.end(), more.begin(), more.end());
    caught_.clear();
    publish(subject, payload, headers);
    settle();
    return caught_.size() == 1 ? caught_.front().payload : "none";
  }
  std::string error(const std::string& id, const std::string& seq, const std::string& commit = {},
                    const Headers& more = {}, std::string_view subject = "b.a") {
    return error_of(send(id, seq, commit, more, subject));
  }
  Stream& plain() { return make(R"({"name":"B","subjects":["b.>"],"allow_atomic":true})"); }

  std::unique_ptr<BusSubscription> advisories_;
  std::vector<std::string> abandoned_;
};

constexpr const char* kIncomplete = "10176 atomic publish batch is incomplete";

TEST_F(AtomicBatch, StoresAllAtTheCommit) {
  Stream& stream = plain();
  RecordingObserver observer;
  stream.add_observer(observer);
  EXPECT_EQ(send("x", "1", "", {}, "b.a"), "");
  EXPECT_EQ(send("x", "2", "", {}, "b.b"), "");
  EXPECT_EQ(stream.store().state().messages, 0U);
  EXPECT_EQ(ack("b.z"), R"({"stream":"B","seq":1})");
  EXPECT_EQ(send("x", "3", "1", {}, "b.c"), R"({"stream":"B","seq":4,"batch":"x","count":3})");
  EXPECT_EQ(seqs(stream), (Seqs{1, 2, 3, 4}));
  EXPECT_EQ(observer.visible, (Seqs{1, 4}));  // never a part of the batch
  EXPECT_EQ(stream.store().load(StreamSeq(4))->headers,
            "NATS/1.0\r\nNats-Batch-Id: x\r\nNats-Batch-Sequence: 3\r\nNats-Batch-Commit: 1\r\n\r\n");
  stream.remove_observer(observer);
  EXPECT_EQ(send("y", "1", "1"), R"({"stream":"B","seq":5,"batch":"y","count":1})");
  EXPECT_TRUE(abandoned_.empty());
}

TEST_F(AtomicBatch, EndMarkCommitsWithoutAMessage) {
  Stream& stream = plain();
  EXPECT_EQ(send("x", "1"), "");
  EXPECT_EQ(send("x", "2", "eob"), R"({"stream":"B","seq":1,"batch":"x","count":1})");
  EXPECT_EQ(stream.store().load(StreamSeq(1))->headers,
            "NATS/1.0\r\nNats-Batch-Id: x\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\r\n");
  EXPECT_EQ(error("x", "1", "eob"), kIncomplete);
  EXPECT_EQ(abandoned_, std::vector<std::string>{R"("batch":"x","reason":"incomplete")"});
}

TEST_F(AtomicBatch, DialogueErrors) {
  Stream& stream = plain();
  EXPECT_EQ(error(std::string(65, 'i'), "1"), "10179 atomic publish batch ID is invalid");
  EXPECT_EQ(error("x", ""), "10175 atomic publish sequence is missing");
  EXPECT_EQ(error("x", "abc"), "10175 atomic publish sequence is missing");
  EXPECT_EQ(error("x", "0"), kIncomplete);
  EXPECT_EQ(error("x", "2"), kIncomplete);
  EXPECT_EQ(send("x", "1"), "");
  EXPECT_EQ(error("x", "abc"), "10175 atomic publish sequence is missing");  // the batch stays open
  EXPECT_EQ(error("x", "2", "zz"), "10200 atomic publish batch commit is invalid");
  EXPECT_EQ(error("x", "1", {}, {{"Nats-Batch-Commit", ""}}), "10200 atomic publish batch commit is invalid");
  EXPECT_EQ(error("x", "2"), kIncomplete);  // it is gone
  EXPECT_TRUE(abandoned_.empty());
  EXPECT_EQ(send("x", "1"), "");
  EXPECT_EQ(error("x", "3"), kIncomplete);
  EXPECT_EQ(error("x", "2"), kIncomplete);
  EXPECT_EQ(abandoned_.size(), 1U);
  EXPECT_EQ(error("l", "1", "", {{"Nats-Required-Api-Level", "6"}}), "10185 JetStream minimum api level required");
  EXPECT_EQ(abandoned_.back(), R"("batch":"l","reason":"unsupported")");
  EXPECT_EQ(send("l", "1", "1", {{"Nats-Required-Api-Level", "5"}}),
            R"({"stream":"B","seq":1,"batch":"l","count":1})");
  EXPECT_EQ(stream.store().load(StreamSeq(1))->headers.find("Required"), std::string_view::npos);
  EXPECT_EQ(seqs(stream), Seqs{1});
  make(R"({"name":"D","subjects":["d"]})");
  EXPECT_EQ(error("x", "1", "", {}, "d"), "10174 atomic publish is disabled");
}

TEST_F(AtomicBatch, ChecksAtTheCommitAndStoresNothingOfARefusedOne) {
  Stream& stream = make(R"({"name":"B","subjects":["b.>"],"allow_atomic":true,"allow_rollup_hdrs":true})");
  ack("b.a");
  const std::string els = "Nats-Expected-Last-Sequence", elss = "Nats-Expected-Last-Subject-Sequence";
  const std::string other = elss + "-Subject";
  auto commit = [&](const Headers& first, const Headers& second, std::string_view subject1 = "b.a",
                    std::string_view subject2 = "b.b") {
    EXPECT_EQ(send("m", "1", "", first, subject1), "");
    const std::string answer = send("m", "2", "1", second, subject2);
    return answer.find("error") == std::string::npos ? "stored" : error_of(answer);
  };
  EXPECT_EQ(commit({{els, "1"}}, {{els, "2"}}), "10164 wrong last sequence");
  EXPECT_EQ(commit({{els, "7"}}, {}), "10071 wrong last sequence: 1");
  EXPECT_EQ(commit({{elss, "1"}}, {{elss, "2"}}, "b.a", "b.a"), "10164 wrong last sequence");
  EXPECT_EQ(commit({}, {{elss, "1"}}, "b.a", "b.a"), "10164 wrong last sequence");
  EXPECT_EQ(commit({}, {{elss, "0"}, {other, "b.d"}}, "b.d", "b.e"), "10164 wrong last sequence");
  EXPECT_EQ(commit({{elss, "0"}, {other, "b.zz"}}, {{elss, "9"}, {other, "b.zz"}}), "10071 wrong last sequence: 0");
  EXPECT_EQ(commit({}, {{other, "b.zz"}}), "10193 missing sequence for expected last sequence per subject");
  EXPECT_EQ(commit({}, {{"Nats-Expected-Stream", "Z"}}), "10060 expected stream does not match");
  EXPECT_EQ(commit({}, {{"Nats-TTL", "5"}}), "10166 per-message TTL is disabled");
  EXPECT_EQ(commit({{"Nats-Expected-Last-Msg-Id", "a"}}, {}),
            "10177 atomic publish unsupported header used: Nats-Expected-Last-Msg-Id");
  EXPECT_EQ(commit({{"Nats-Msg-Id", "a"}}, {{"Nats-Msg-Id", "a"}}),
            "10201 atomic publish batch contains duplicate message id");
  EXPECT_EQ(commit({}, {{"Nats-Rollup", "sub"}}, "b.a", "b.a"), "10111 batch rollup sub invalid");
  EXPECT_EQ(commit({}, {{"Nats-Rollup", "all"}}), "10111 batch rollup all invalid");
  EXPECT_EQ(seqs(stream), Seqs{1});
  EXPECT_EQ(stream.store().state().last_seq.value(), 1U);

  EXPECT_EQ(commit({{elss, "1"}}, {{"Nats-Msg-Id", "b"}}, "b.a", "b.a"), "stored");
  EXPECT_EQ(commit({}, {{"Nats-Msg-Id", "b"}}), "10201 atomic publish batch contains duplicate message id");
  EXPECT_EQ(ack("b.a", "x", {{"Nats-Msg-Id", "b"}}), R"({"stream":"B","seq":3,"duplicate": true})");
  EXPECT_EQ(commit({{elss, "3"}, {other, "b.a"}}, {}, "b.c", "b.a"), "stored");
  EXPECT_EQ(commit({}, {{"Nats-Rollup", "sub"}}, "b.b", "b.a"), "stored");
  EXPECT_EQ(seqs(stream), (Seqs{4, 6, 7}));
  EXPECT_EQ(commit({{"Nats-Rollup", "all"}}, {}), "stored");
  EXPECT_EQ(seqs(stream), (Seqs{8, 9}));
  EXPECT_TRUE(abandoned_.empty());
}

TEST_F(AtomicBatch, LimitsCountTheWholeBatch) {
  Stream& full = make(R"({"name":"B","subjects":["b.>"],"allow_atomic":true,"discard":"new","max_msgs":2})");
  send("m", "1");
  send("m", "2");
  EXPECT_EQ(error("m", "3", "1"), "10077 maximum messages exceeded");
  EXPECT_EQ(full.store().state().last_seq.value(), 0U);
  send("m", "1");
  EXPECT_EQ(send("m", "2", "1"), R"({"stream":"B","seq":2,"batch":"m","count":2})");
  ASSERT_TRUE(streams().remove("B"));
  Stream& per_subject = make(
      R"({"name":"B","subjects":["b.>"],"allow_atomic":true,"discard":"new","max_msgs_per_subject":1,
          "discard_new_per_subject":true})");
  send("m", "1");
  EXPECT_EQ(error("m", "2", "1"), "10077 maximum messages per subject exceeded");
  EXPECT_EQ(per_subject.store().state().messages, 0U);
  ASSERT_TRUE(streams().remove("B"));
  Stream& old = make(R"({"name":"B","subjects":["b.>"],"allow_atomic":true,"max_msgs":2})");
  send("m", "1");
  send("m", "2");
  EXPECT_EQ(send("m", "3", "1"), R"({"stream":"B","seq":3,"batch":"m","count":3})");
  EXPECT_EQ(seqs(old), (Seqs{2, 3}));
}

TEST_F(AtomicBatch, CountersAddUpWithinABatch) {
  Stream& stream = make(R"({"name":"B","subjects":["b.>"],"allow_atomic":true,"allow_msg_counter":true})");
  send("m", "1", "", {{"Nats-Incr", "2"}}, "b.a", "");
  send("m", "2", "", {{"Nats-Incr", "3"}}, "b.a", "");
  EXPECT_EQ(send("m", "3", "1", {{"Nats-Incr", "4"}}, "b.b", ""), R"({"stream":"B","seq":3,"batch":"m","count":3})");
  EXPECT_EQ(stream.store().load(StreamSeq(2))->payload, R"({"val":"5"})");
  EXPECT_EQ(stream.store().load(StreamSeq(3))->payload, R"({"val":"4"})");
}

TEST_F(AtomicBatch, InterestStreamsUseUpSequences) {
  Stream& stream = make(R"({"name":"B","subjects":["b.>"],"allow_atomic":true,"retention":"interest"})");
  RecordingObserver observer("b.a");
  stream.add_observer(observer);
  send("m", "1", "", {}, "b.a");
  send("m", "2", "", {{"Nats-Msg-Id", "i"}}, "b.b");
  EXPECT_EQ(send("m", "3", "1", {}, "b.a"), R"({"stream":"B","seq":3,"batch":"m","count":3})");
  EXPECT_EQ(seqs(stream), (Seqs{1, 3}));
  EXPECT_EQ(ack("b.b", "x", {{"Nats-Msg-Id", "i"}}), R"({"stream":"B","seq":2,"duplicate": true})");
  stream.remove_observer(observer);
}

TEST_F(AtomicBatch, IsBounded) {
  options_.batches.atomic_messages = 3;
  options_.batches.atomic_per_stream = 2;
  options_.batches.atomic_bytes = 400;
  Stream& stream = plain();
  for (const char* seq : {"1", "2", "3"}) send("L", seq);
  EXPECT_EQ(error("L", "4"), "10199 atomic publish batch is too large: 3");
  EXPECT_EQ(abandoned_, std::vector<std::string>{R"("batch":"L","reason":"large")"});
  EXPECT_EQ(error("L", "5"), "10199 atomic publish batch is too large: 3");
  for (const char* seq : {"1", "2", "3"}) send("L", seq);
  EXPECT_EQ(send("L", "4", "eob"), R"({"stream":"B","seq":3,"batch":"L","count":3})");
  send("a", "1");
  send("b", "1");
  EXPECT_EQ(error("c", "1"), "10210 atomic publish too many inflight");
  EXPECT_EQ(error("c", "1", "1"), "10210 atomic publish too many inflight");
  EXPECT_EQ(error("a", "2", "", {{"X", std::string(400, 'x')}}).substr(0, 5), "10199");
  EXPECT_EQ(send("c", "1"), "");
  EXPECT_EQ(stream.store().state().messages, 3U);
}

TEST_F(AtomicBatch, IdleOnesAreAbandoned) {
  plain();
  send("a", "1");
  sim_.advance(6s);
  send("b", "1");
  send("a", "2");
  sim_.advance(6s);
  EXPECT_TRUE(abandoned_.empty());
  sim_.advance(5s);
  EXPECT_EQ(abandoned_.size(), 2U);
  EXPECT_EQ(error("a", "3"), kIncomplete);
}

TEST_F(AtomicBatch, SwitchingOffOrARestartForgetsThem) {
  plain();
  send("a", "1");
  auto update = [this](const char* json) { return streams().update(*parse_stream_config(json)).has_value(); };
  EXPECT_TRUE(update(R"({"name":"B","subjects":["b.>"]})"));
  EXPECT_EQ(error("a", "2"), "10174 atomic publish is disabled");
  EXPECT_TRUE(update(R"({"name":"B","subjects":["b.>"],"allow_atomic":true})"));
  EXPECT_EQ(error("a", "2"), kIncomplete);
  send("a", "1");
  settle();
  restart();
  EXPECT_EQ(error("a", "2"), kIncomplete);
  EXPECT_TRUE(abandoned_.empty());
}

}  // namespace
}  // namespace sluice
