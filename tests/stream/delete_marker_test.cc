// Delete markers (ADR-43): what stays when the last message of a subject goes by age or by its TTL.
#include <chrono>

#include "stream_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Seqs = std::vector<uint64_t>;

class DeleteMarker : public StreamWorld {
 protected:
  void put(std::string_view subject, const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    publish(subject, "x", headers);
    settle();
    caught_.clear();
  }
  static std::string headers_of(Stream& stream, uint64_t seq) {
    const auto stored = stream.store().load(StreamSeq(seq));
    return stored ? std::string(stored->headers) : "gone";
  }
};

TEST_F(DeleteMarker, StaysForTheLastOfASubject) {
  Stream& stream = make(
      R"({"name":"S","subjects":["a.>"],"subject_delete_marker_ttl":3600000000000,"max_age":10000000000})");
  RecordingObserver observer;
  stream.add_observer(observer);
  put("a.x");
  put("a.x");
  put("a.y", {{"KV-Operation", "DEL"}});
  put("a.p", {{"KV-Operation", "PURGE"}});
  put("a.m", {{"Nats-Marker-Reason", "Purge"}});
  sim_.advance(11s);
  settle();
  EXPECT_EQ(seqs(stream), (Seqs{6, 7}));
  EXPECT_EQ(headers_of(stream, 6),
            "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1h0m0s\r\nNats-Rollup: sub\r\n\r\n");
  EXPECT_EQ(stream.store().load(StreamSeq(6))->subject, "a.x");
  EXPECT_EQ(stream.store().load(StreamSeq(6))->payload, "");
  EXPECT_EQ(stream.store().load(StreamSeq(7))->subject, "a.y");
  EXPECT_EQ(observer.visible.back(), 7U);
  // max_age takes the markers too, and nothing follows a marker.
  sim_.advance(11s);
  settle();
  EXPECT_EQ(stream.store().state().messages, 0U);
  EXPECT_EQ(stream.store().state().last_seq.value(), 7U);
  stream.remove_observer(observer);
}

TEST_F(DeleteMarker, FollowsATtlAndExpires) {
  Stream& stream = make(R"({"name":"S","subjects":["a.>"],"subject_delete_marker_ttl":2000000000})");
  EXPECT_TRUE(stream.config().allow_msg_ttl);
  put("a.x", {{"Nats-TTL", "5"}});
  put("a.y", {{"Nats-TTL", "1"}});
  EXPECT_EQ(headers_of(stream, 2), "NATS/1.0\r\nNats-TTL: 2\r\n\r\n");  // no shorter than a marker's
  sim_.advance(3s);
  settle();
  EXPECT_EQ(seqs(stream), (Seqs{1, 3}));
  sim_.advance(2s);
  settle();
  EXPECT_EQ(seqs(stream), Seqs{4});
  restart();
  sim_.advance(3s);
  settle();
  EXPECT_EQ(streams().find("S")->store().state().messages, 0U);
}

TEST_F(DeleteMarker, OfSubjectsWithoutHistoryTtlsStay) {
  Stream& stream = make(
      R"({"name":"S","subjects":["a.>"],"subject_delete_marker_ttl":5000000000,"max_msgs_per_subject":1})");
  put("a.x", {{"Nats-TTL", "1"}});
  EXPECT_EQ(headers_of(stream, 1), "NATS/1.0\r\nNats-TTL: 1\r\n\r\n");
  sim_.advance(2s);
  settle();
  EXPECT_EQ(seqs(stream), Seqs{2});
}

TEST_F(DeleteMarker, NotWhileTheSubjectHasOthers) {
  Stream& stream = make(R"({"name":"S","subjects":["a.>"],"subject_delete_marker_ttl":1000000000})");
  put("a.x", {{"Nats-TTL", "1"}});
  put("a.x");
  sim_.advance(3s);
  settle();
  EXPECT_EQ(seqs(stream), Seqs{2});
}

TEST_F(DeleteMarker, AreRepublished) {
  make(R"({"name":"S","subjects":["a.>"],"subject_delete_marker_ttl":1000000000,
           "republish":{"src":"a.>","dest":"_INBOX.r.>"}})");
  put("a.x", {{"Nats-TTL", "1"}});
  caught_.clear();
  sim_.advance(1500ms);
  settle();
  ASSERT_EQ(caught_.size(), 1U);
  EXPECT_NE(caught_[0].headers.find("Nats-Marker-Reason: MaxAge"), std::string::npos);
}

TEST_F(DeleteMarker, AreSwitchedOffByAnUpdate) {
  Stream& stream = make(R"({"name":"S","subjects":["a.>"],"subject_delete_marker_ttl":1000000000})");
  put("a.x", {{"Nats-TTL", "2"}});
  ASSERT_TRUE(streams().update(*parse_stream_config(R"({"name":"S","subjects":["a.>"],"allow_msg_ttl":true})")));
  sim_.advance(3s);
  settle();
  EXPECT_EQ(stream.store().state().last_seq.value(), 1U);
}

/// A large stream's headers are looked through while it serves; nothing goes before that is done.
TEST_F(DeleteMarker, TheScanAtTheStartIsSliced) {
  make(R"({"name":"S","subjects":["a.>"],"allow_msg_ttl":true,"max_age":60000000000,"max_bytes":100000000})");
  put("a.never", {{"Nats-TTL", "never"}});
  for (int i = 0; i < 5000; ++i) publish("a.x", "", {{"Nats-TTL", i == 4999 ? "never" : "1000"}}, "");
  settle();
  sim_.advance(70s);
  settle();
  EXPECT_EQ(seqs(*streams().find("S")), (Seqs{1, 5001}));
  restart();
  sim_.advance(70s);
  settle();
  EXPECT_EQ(seqs(*streams().find("S")), (Seqs{1, 5001}));
  for (int i = 0; i < 5000; ++i) publish("a.x", "", {{"Nats-TTL", i == 4999 ? "never" : "1000"}}, "");
  settle();
  restart();
  sim_.advance(70s);
  settle();
  EXPECT_EQ(seqs(*streams().find("S")), (Seqs{1, 5001, 10001}));
}

TEST_F(DeleteMarker, AsyncStreamsAnswerFirstAndShowLater) {
  Stream& stream = make(R"({"name":"S","subjects":["a"],"persist_mode":"async"})");
  caught_.clear();
  publish("a");
  sim_.run_until_idle();
  ASSERT_EQ(caught_.size(), 1U);
  EXPECT_EQ(caught_[0].payload, R"({"stream":"S","seq":1})");
  EXPECT_EQ(stream.visible_last().value(), 0U);
  publish("a", "x", {{"Nats-Expected-Last-Sequence", "9"}});
  EXPECT_EQ(error_of(caught_.back().payload), "10071 wrong last sequence: 1");
  settle();
  EXPECT_EQ(stream.visible_last().value(), 1U);
  EXPECT_EQ(caught_.size(), 2U);
}

}  // namespace
}  // namespace sluice
