// Fast ingest batches (ADR-50): the transcripts of the reference, and bounds.
#include "stream/fast_batches.h"

#include "stream_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Answers = std::vector<std::string>;

class FastBatch : public StreamWorld {
 protected:
  enum Op { kStart, kAppend, kAppendCommit, kCommit, kPing };
  FastBatch() { options_.api_level = 5; }
  Answers send(int seq, Op op, std::string_view gap = "ok", std::string_view id = "u1", std::string_view flow = "4",
               const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    std::string reply = "_INBOX.x.";
    reply.append(id).append(".").append(flow).append(".").append(gap).append(".");
    reply += std::to_string(seq) + "." + std::to_string(op) + ".$FI";
    return send_to(reply, headers);
  }
  Answers send_to(const std::string& reply, const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    caught_.clear();
    publish("f.a", "x", headers, reply);
    settle();
    Answers out;
    for (const Caught& c : caught_) out.push_back(c.payload);
    return out;
  }
  static std::string flow(int seq, int msgs) {
    return R"({"type":"ack","seq":)" + std::to_string(seq) + R"(,"msgs":)" + std::to_string(msgs) + "}";
  }
  static std::string gap(int last, int seq) {
    return R"({"type":"gap","last_seq":)" + std::to_string(last) + R"(,"seq":)" + std::to_string(seq) + "}";
  }
  static std::string end(int seq, int count, const std::string& id = "u1") {
    return R"({"stream":"F","seq":)" + std::to_string(seq) + R"(,"batch":")" + id + R"(","count":)" +
           std::to_string(count) + "}";
  }
  Stream& plain() { return make(R"({"name":"F","subjects":["f.>"],"allow_batched":true})"); }
  static constexpr std::pair<const char*, const char*> kWrong{"Nats-Expected-Last-Sequence", "99"};
};

constexpr const char* kUnknown = "10208 batch publish ID unknown";
constexpr const char* kPattern = "10206 batch publish pattern is invalid";

TEST_F(FastBatch, TellsHowFarItGot) {
  Stream& stream = plain();
  EXPECT_EQ(send(1, kStart), Answers{flow(0, 4)});
  for (int i = 2; i <= 8; ++i) EXPECT_EQ(send(i, kAppend), i % 4 == 0 ? Answers{flow(i, 4)} : Answers{});
  EXPECT_EQ(send(10, kAppend), Answers{gap(9, 10)});
  EXPECT_EQ(send(10, kPing), Answers{flow(8, 4)});
  EXPECT_EQ(send(11, kCommit), Answers{end(9, 10)});
  EXPECT_EQ(stream.store().state().messages, 9U);
  EXPECT_EQ(error_of(send(12, kAppend).at(0)), kUnknown);
  EXPECT_EQ(error_of(send(12, kCommit).at(0)), kUnknown);
  EXPECT_EQ(error_of(send(12, kPing).at(0)), kUnknown);
}

TEST_F(FastBatch, AFirstMessageMayBeTheLast) {
  plain();
  EXPECT_EQ(send(1, kAppendCommit), Answers{end(1, 1)});
  EXPECT_EQ(send(1, kAppendCommit), Answers{end(2, 1)});
}

TEST_F(FastBatch, WhatDoesNotBeginABatch) {
  plain();
  EXPECT_EQ(error_of(send(1, kCommit).at(0)), kPattern);
  EXPECT_EQ(error_of(send(2, kStart).at(0)), kPattern);
  EXPECT_EQ(error_of(send(0, kStart).at(0)), kPattern);
  EXPECT_EQ(error_of(send(1, kAppend).at(0)), kPattern);
  EXPECT_EQ(error_of(send(2, kAppend).at(0)), kUnknown);
  EXPECT_EQ(error_of(send(1, kPing).at(0)), kUnknown);
  for (const char* bad : {"_INBOX.u.4.zz.1.0.$FI", "_INBOX.u.4.OK.1.0.$FI", "_INBOX.u.4.ok.1.9.$FI",
                          "_INBOX.u.4.ok.x.0.$FI", "_INBOX.1.0.$FI", "_INBOX.$FI", "_INBOX.u.4.ok.1..$FI"})
    EXPECT_EQ(error_of(send_to(bad).at(0)), kPattern) << bad;
  EXPECT_EQ(error_of(send(1, kStart, "ok", std::string(65, 'i')).at(0)), "10207 batch publish ID is invalid");
  EXPECT_EQ(error_of(send(1, kStart, "ok", "l", "4", {{"Nats-Required-Api-Level", "6"}}).at(0)),
            "10185 JetStream minimum api level required");
  make(R"({"name":"D","subjects":["f"]})");
  publish("f", "x", {}, "_INBOX.x.u.4.ok.1.0.$FI");
  settle();
  EXPECT_EQ(error_of(caught_.back().payload), "10205 batch publish is disabled");
}

TEST_F(FastBatch, BackwardsEndsIt) {
  plain();
  send(1, kStart);
  EXPECT_EQ(send(1, kStart), (Answers{gap(2, 1), end(1, 1)}));
  EXPECT_EQ(error_of(send(2, kAppend).at(0)), kUnknown);
  send(1, kStart);
  send(2, kAppend);
  EXPECT_EQ(send(2, kAppend), (Answers{gap(3, 2), end(3, 2)}));
}

TEST_F(FastBatch, GapsStopItWhenAsked) {
  Stream& stream = plain();
  send(1, kStart, "fail");
  send(2, kAppend, "fail");
  EXPECT_EQ(send(4, kAppend, "fail"), (Answers{gap(3, 4), end(2, 2)}));
  EXPECT_EQ(error_of(send(5, kAppend, "fail").at(0)), kUnknown);
  send(1, kStart, "fail");
  EXPECT_EQ(send(4, kCommit, "fail"), (Answers{gap(2, 4), end(3, 1)}));
  send(1, kStart);
  EXPECT_EQ(send(4, kCommit), (Answers{gap(2, 4), end(4, 3)}));
  send(1, kStart);
  EXPECT_EQ(send(4, kAppendCommit), (Answers{gap(2, 4), end(6, 4)}));
  EXPECT_EQ(stream.store().state().messages, 6U);
}

TEST_F(FastBatch, RefusedMessages) {
  Stream& stream = plain();
  const std::string why =
      R"("error":{"code":400,"err_code":10071,"description":"wrong last sequence: )";
  auto err = [&](int seq, int last) {
    return R"({"type":"err","seq":)" + std::to_string(seq) + "," + why + std::to_string(last) + "\"}}";
  };
  send(1, kStart);
  EXPECT_EQ(send(2, kAppend, "ok", "u1", "4", {kWrong}), Answers{err(2, 1)});
  EXPECT_EQ(send(3, kAppend), Answers{});
  EXPECT_EQ(send(4, kCommit), Answers{end(2, 3)});
  send(1, kStart, "fail");
  EXPECT_EQ(send(2, kAppend, "fail", "u1", "4", {kWrong}), (Answers{err(2, 3), end(3, 1)}));
  EXPECT_EQ(send(1, kStart, "fail", "u1", "4", {kWrong}),
            (Answers{flow(0, 4), "{" + why + R"(3"},"stream":"F","seq":0})"}));
  EXPECT_EQ(send(1, kAppendCommit, "ok", "u1", "4", {kWrong}), (Answers{err(1, 3), end(0, 0)}));
  send(1, kStart);
  EXPECT_EQ(send(2, kAppendCommit, "ok", "u1", "4", {kWrong}), (Answers{err(2, 4), end(4, 1)}));
  send(1, kStart, "ok", "u1", "4", {{"Nats-Msg-Id", "a"}});
  EXPECT_EQ(send(2, kAppend, "ok", "u1", "4", {{"Nats-Msg-Id", "a"}}), Answers{});
  EXPECT_EQ(send(3, kCommit), Answers{end(5, 2)});
  EXPECT_EQ(stream.store().state().messages, 5U);
}

TEST_F(FastBatch, SharesTheFlow) {
  plain();
  send(1, kStart, "ok", "one", "1");
  EXPECT_EQ(send(1, kStart, "ok", "w", "10"), (Answers{flow(0, 1), flow(1, 2)}));
  EXPECT_EQ(send(2, kAppend, "ok", "w", "10"), Answers{});
  EXPECT_EQ(send(3, kAppend, "ok", "w", "10"), Answers{flow(3, 4)});
  for (int i = 4; i < 7; ++i) EXPECT_EQ(send(i, kAppend, "ok", "w", "10"), Answers{});
  EXPECT_EQ(send(7, kAppend, "ok", "w", "10"), Answers{flow(7, 8)});
  for (int i = 8; i < 15; ++i) EXPECT_EQ(send(i, kAppend, "ok", "w", "10"), Answers{});
  EXPECT_EQ(send(15, kAppend, "ok", "w", "10"), Answers{flow(15, 10)});
  EXPECT_EQ(send(16, kCommit, "ok", "w", "10"), Answers{end(16, 15, "w")});
  send(2, kCommit, "ok", "one", "1");
  EXPECT_EQ(send(1, kStart, "ok", "f", "-1"), Answers{flow(0, 10)});  // the default
}

TEST_F(FastBatch, IsBounded) {
  options_.batches.fast_per_stream = 2;
  plain();
  send(1, kStart, "ok", "a");
  send(1, kStart, "ok", "b");
  EXPECT_EQ(error_of(send(1, kStart, "ok", "c").at(0)), "10211 batch publish too many inflight");
  sim_.advance(6s);
  send(2, kAppend, "ok", "a");
  sim_.advance(6s);
  EXPECT_EQ(error_of(send(2, kAppend, "ok", "b").at(0)), kUnknown);
  send(1, kStart, "ok", "c");
  EXPECT_EQ(send(3, kCommit, "ok", "a"), Answers{end(3, 2, "a")});
}

TEST_F(FastBatch, AnswersWaitForTheDisk) {
  plain();
  caught_.clear();
  publish("f.a", "x", {}, "_INBOX.x.u.1.ok.1.0.$FI");
  sim_.run_until_idle();
  EXPECT_TRUE(caught_.empty());
  store_.release();
  sim_.run_until_idle();
  ASSERT_EQ(caught_.size(), 2U);
  EXPECT_EQ(caught_.front().payload, flow(0, 1));
  EXPECT_EQ(caught_.back().payload, flow(1, 1));
}

}  // namespace
}  // namespace sluice
