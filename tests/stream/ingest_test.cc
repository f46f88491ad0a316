// What a publish is answered, check by check, and when.
#include "stream_world.h"

namespace sluice {
namespace {

using Seqs = std::vector<uint64_t>;

class Ingesting : public StreamWorld {};

TEST_F(Ingesting, AnswersWithStreamAndSequence) {
  make(R"({"name":"S","subjects":["a.>"]})");
  EXPECT_EQ(ack("a.1"), R"({"stream":"S","seq":1})");
  EXPECT_EQ(ack("a.2"), R"({"stream":"S","seq":2})");
}

TEST_F(Ingesting, ShowsTheDomain) {
  options_.domain = "hub";
  make(R"({"name":"S","subjects":["a"]})");
  EXPECT_EQ(ack("a"), R"({"stream":"S","domain":"hub","seq":1})");
}

TEST_F(Ingesting, AnswersOnlyWhenDurableAndInOrder) {
  Stream& s = make(R"({"name":"S","subjects":["a"]})");
  RecordingObserver observer;
  s.add_observer(observer);
  publish("a");
  publish("a");
  const CommitNo two = store_.last_commit();
  publish("a");
  sim_.run_until_idle();
  EXPECT_TRUE(caught_.empty());
  EXPECT_EQ(s.visible_last().value(), 0U);
  store_.release_to(two);
  ASSERT_EQ(caught_.size(), 2U);
  EXPECT_EQ(caught_[0].payload, R"({"stream":"S","seq":1})");
  EXPECT_EQ(caught_[1].payload, R"({"stream":"S","seq":2})");
  EXPECT_EQ(s.visible_last().value(), 2U);
  EXPECT_EQ(observer.visible, Seqs({2}));  // told once for the rise
  store_.release();
  EXPECT_EQ(caught_.size(), 3U);
  s.remove_observer(observer);
}

TEST_F(Ingesting, RefusalsOfAnUnsyncedStateWaitToo) {
  make(R"({"name":"S","subjects":["a"]})");
  publish("a");
  publish("a", "x", {{"Nats-Expected-Last-Sequence", "7"}});
  EXPECT_TRUE(caught_.empty());
  store_.release();
  ASSERT_EQ(caught_.size(), 2U);
  EXPECT_EQ(error_of(caught_[1].payload), "10071 wrong last sequence: 1");
}

TEST_F(Ingesting, MemoryStreamsAnswerInOrderWithoutTheDisk) {
  make(R"({"name":"M","subjects":["m"],"storage":"memory"})");
  publish("m");
  publish("m");
  EXPECT_TRUE(caught_.empty());
  sim_.run_until_idle();
  ASSERT_EQ(caught_.size(), 2U);
  EXPECT_EQ(caught_[1].payload, R"({"stream":"M","seq":2})");
}

TEST_F(Ingesting, SaysNothingWithoutReplyOrWithNoAck) {
  make(R"({"name":"S","subjects":["a"],"no_ack":true})");
  EXPECT_EQ(ack("a"), "");
  EXPECT_EQ(ack("a", "x", {{"Nats-TTL", "1s"}}), "");
  make(R"({"name":"T","subjects":["b"]})");
  publish("b", "x", {}, "");
  settle();
  EXPECT_TRUE(caught_.empty());
  EXPECT_EQ(streams().find("T")->visible_last().value(), 1U);
}

TEST_F(Ingesting, DuplicatesGetTheOriginalSequence) {
  make(R"({"name":"S","subjects":["a"]})");
  EXPECT_EQ(ack("a", "x", {{"Nats-Msg-Id", "one"}}), R"({"stream":"S","seq":1})");
  EXPECT_EQ(ack("a"), R"({"stream":"S","seq":2})");
  EXPECT_EQ(ack("a", "x", {{"Nats-Msg-Id", "one"}}), R"({"stream":"S","seq":1,"duplicate": true})");
  // Trailing blanks are part of an id, and names are case-sensitive.
  EXPECT_EQ(ack("a", "x", {{"Nats-Msg-Id", "one "}}), R"({"stream":"S","seq":3})");
  EXPECT_EQ(ack("a", "x", {{"nats-msg-id", "one"}}), R"({"stream":"S","seq":4})");
}

TEST_F(Ingesting, DuplicateOfAnUnsyncedMessageWaitsForIt) {
  make(R"({"name":"S","subjects":["a"]})");
  publish("a", "x", {{"Nats-Msg-Id", "one"}});
  publish("a", "x", {{"Nats-Msg-Id", "one"}});
  EXPECT_TRUE(caught_.empty());
  store_.release();
  ASSERT_EQ(caught_.size(), 2U);
  EXPECT_EQ(caught_[1].payload, R"({"stream":"S","seq":1,"duplicate": true})");
}

TEST_F(Ingesting, DuplicateWindowEnds) {
  make(R"({"name":"S","subjects":["a"],"duplicate_window":1000000000})");
  ack("a", "x", {{"Nats-Msg-Id", "one"}});
  sim_.advance(std::chrono::milliseconds(999));
  EXPECT_NE(ack("a", "x", {{"Nats-Msg-Id", "one"}}).find("duplicate"), std::string::npos);
  sim_.advance(std::chrono::milliseconds(2));
  EXPECT_EQ(ack("a", "x", {{"Nats-Msg-Id", "one"}}), R"({"stream":"S","seq":2})");
}

TEST_F(Ingesting, DuplicatesAreKnownAfterRestartPurgeAndBeforeExpectations) {
  make(R"({"name":"S","subjects":["a"]})");
  ack("a", "x", {{"Nats-Msg-Id", "one"}});
  ack("a", "x", {{"Nats-Msg-Id", "two"}});
  ASSERT_TRUE(purge_now(*streams().find("S"), {}));
  EXPECT_NE(ack("a", "x", {{"Nats-Msg-Id", "one"}}).find("duplicate"), std::string::npos);
  ack("a", "x", {{"Nats-Msg-Id", "three"}});
  restart();
  EXPECT_EQ(ack("a", "x", {{"Nats-Msg-Id", "three"}, {"Nats-Expected-Last-Sequence", "0"}}),
            R"({"stream":"S","seq":3,"duplicate": true})");
  EXPECT_EQ(error_of(ack("a", "x", {{"Nats-Expected-Last-Msg-Id", "zero"}})),
            "10070 wrong last msg ID: three");
}

TEST_F(Ingesting, ChecksExpectations) {
  make(R"({"name":"S","subjects":["a.*"]})");
  EXPECT_EQ(error_of(ack("a.1", "x", {{"Nats-Expected-Stream", "T"}})),
            "10060 expected stream does not match");
  EXPECT_EQ(ack("a.1", "x", {{"Nats-Expected-Stream", "S"}, {"Nats-Expected-Last-Sequence", "0"}}),
            R"({"stream":"S","seq":1})");
  EXPECT_EQ(error_of(ack("a.1", "x", {{"Nats-Expected-Last-Sequence", "0"}})),
            "10071 wrong last sequence: 1");
  EXPECT_EQ(error_of(ack("a.1", "x", {{"Nats-Expected-Last-Sequence", "one"}})),
            "10071 wrong last sequence: 1");
  EXPECT_EQ(error_of(ack("a.2", "x", {{"Nats-Expected-Last-Subject-Sequence", "1"}})),
            "10071 wrong last sequence: 0");
  EXPECT_EQ(ack("a.2", "x", {{"Nats-Expected-Last-Subject-Sequence", "0"}}),
            R"({"stream":"S","seq":2})");
  EXPECT_EQ(error_of(ack("a.1", "x", {{"Nats-Expected-Last-Subject-Sequence", "1"},
                                      {"Nats-Expected-Last-Subject-Sequence-Subject", "a.*"}})),
            "10071 wrong last sequence: 2");
  EXPECT_EQ(error_of(ack("a.1", "x", {{"Nats-Expected-Last-Subject-Sequence-Subject", "a.*"}})),
            "10193 missing sequence for expected last sequence per subject");
  EXPECT_EQ(error_of(ack("a.1", "x", {{"Nats-Expected-Last-Msg-Id", "id"}})),
            "10070 wrong last msg ID: ");
}

TEST_F(Ingesting, RefusesWhatThisVersionDoesNotDo) {
  make(R"({"name":"S","subjects":["a"]})");
  EXPECT_EQ(error_of(ack("a", "x", {{"Nats-TTL", "1m"}})), "10166 per-message TTL is disabled");
  EXPECT_EQ(error_of(ack("a", "", {{"Nats-Incr", "1"}})), "10168 message counters is disabled");
  EXPECT_EQ(error_of(ack("a", "x", {{"Nats-Batch-Id", "b"}})), "10174 atomic publish is disabled");
  EXPECT_EQ(error_of(ack("a", "x", {{"Nats-Schedule", "@at x"}})),
            "10188 message schedules is disabled");
  EXPECT_EQ(error_of(ack("a", "x", {{"Nats-Stream-Source", "s 1"}})),
            "10227 message stream source header is not allowed");
  EXPECT_EQ(ack("a", "x", {{"Nats-TTL", "1m"}}),
            R"({"error":{"code":400,"err_code":10166,"description":"per-message TTL is disabled"},)"
            R"("stream":"S","seq":0})");
}

TEST_F(Ingesting, ChecksSizes) {
  make(R"({"name":"S","subjects":["a"],"max_msg_size":10})");
  EXPECT_EQ(ack("a", "0123456789"), R"({"stream":"S","seq":1})");
  EXPECT_EQ(error_of(ack("a", "0123456789x")), "10054 message size exceeds maximum allowed");
  make(R"({"name":"T","subjects":["b"]})");
  EXPECT_EQ(error_of(ack("b", "x", {{"H", std::string(65536, 'v')}})),
            "10097 header size exceeds maximum allowed of 64k");
  make(R"({"name":"U","subjects":["c"],"max_bytes":100})");
  EXPECT_EQ(error_of(ack("c", std::string(101, 'x'))), "10077 maximum bytes exceeded");
}

TEST_F(Ingesting, RefusesMoreThanItsBoundOfWaitingMessages) {
  options_.max_buffered_msgs = 2;
  make(R"({"name":"S","subjects":["a"]})");
  for (int i = 0; i < 3; ++i) publish("a");
  ASSERT_EQ(caught_.size(), 1U);
  EXPECT_EQ(caught_[0].headers, "NATS/1.0 429 Too Many Requests\r\n\r\n");
  EXPECT_EQ(error_of(caught_[0].payload), "10167 too many requests");
  settle();
  EXPECT_EQ(caught_.size(), 3U);
  EXPECT_EQ(ack("a"), R"({"stream":"S","seq":3})");
}

TEST_F(Ingesting, TellsWhyTheStoreTakesNothing) {
  make(R"({"name":"S","subjects":["a"]})");
  store_.refuse_writes(Errc::kNoSpace);
  EXPECT_EQ(error_of(ack("a")), "10023 insufficient resources");
  store_.accept_writes();
  EXPECT_EQ(ack("a"), R"({"stream":"S","seq":1})");
}

TEST_F(Ingesting, RefusesAtOnceAfterTheDiskFailed) {
  make(R"({"name":"S","subjects":["a"]})");
  publish("a");
  store_.refuse_writes(Errc::kIo);
  publish("a");
  ASSERT_EQ(caught_.size(), 1U);  // the first one is never answered
  EXPECT_EQ(error_of(caught_[0].payload), "10077 test");
}

TEST_F(Ingesting, RespectsTheAccountsLimit) {
  options_.max_memory_bytes = 40;
  make(R"({"name":"M","subjects":["m"],"storage":"memory"})");
  EXPECT_EQ(ack("m", "0123456789"), R"({"stream":"M","seq":1})");
  EXPECT_EQ(error_of(ack("m", "0123456789")), "10002 resource limits exceeded for account");
}

TEST_F(Ingesting, StoresHeadersAsTheyCameButForStatusAndServerHeaders) {
  Stream& s = make(R"({"name":"S","subjects":["a"]})");
  ack("a", "x", {{"X", "1"}, {"x", " 2"}});
  EXPECT_EQ(s.store().load(StreamSeq(1))->headers, "NATS/1.0\r\nX: 1\r\nx:  2\r\n\r\n");
  bus_.publish({.subject = "a",
                .reply = "",
                .headers = "NATS/1.0 503 Oops\r\nA: b\r\nNats-Request-Info: {}\r\n\r\n",
                .payload = ""});
  EXPECT_EQ(s.store().load(StreamSeq(2))->headers, "NATS/1.0\r\nA: b\r\n\r\n");
}

TEST_F(Ingesting, OffersInProcessAreAnsweredWhenDurable) {
  Stream& s = make(R"({"name":"S","subjects":["a"]})");
  std::vector<std::string> answers;
  auto keep = [&answers](std::string_view text) { answers.emplace_back(text); };
  s.offer({.subject = "a", .reply = "", .headers = "", .payload = "1"}, keep);
  EXPECT_TRUE(answers.empty());
  store_.release();
  EXPECT_EQ(answers, std::vector<std::string>{R"({"stream":"S","seq":1})"});
}

TEST_F(Ingesting, AStreamMayBeDeletedByWhoGetsItsAnswer) {
  make(R"({"name":"S","subjects":["a"]})");
  auto killer = bus_.subscribe("_INBOX.kill", "", [this](const Message&, const Origin&) {
    EXPECT_TRUE(streams().remove("S"));
  });
  publish("a", "x", {}, "_INBOX.kill");
  publish("a", "x", {}, "_INBOX.b");
  settle();
  EXPECT_EQ(streams().find("S"), nullptr);
  EXPECT_EQ(caught_.size(), 1U);  // the killer's own; the rest died with the stream
}

}  // namespace
}  // namespace sluice
