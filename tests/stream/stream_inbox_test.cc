// Copies of other streams' messages: sequences, times, gaps, positions.
#include "stream/stream_inbox.h"

#include <gtest/gtest.h>

#include "stream_world.h"

namespace sluice {
namespace {

class Inbox : public StreamWorld {
 protected:
  Status mirrored(Stream& s, uint64_t seq, std::string_view subject, std::string_view payload = "x") {
    return s.inbox()->take_mirrored(StreamSeq(seq), WallNanos(seq) * 1000,
                                    {.subject = subject, .reply = "", .headers = "", .payload = payload});
  }
  Status sourced(Stream& s, uint64_t origin, std::string_view subject, std::string_view id = "",
                 std::string_view key = "O > >") {
    auto headers = block({{"Nats-Stream-Source", "O " + std::to_string(origin) + " > > " + std::string(subject) + " idid"}});
    if (!id.empty()) headers = block({{"Nats-Msg-Id", std::string(id)}, {"Nats-Stream-Source", "O " + std::to_string(origin) + " > > s idid"}});
    const Message m{.subject = subject, .reply = "", .headers = headers, .payload = "p"};
    return s.inbox()->take_sourced({.message = m, .key = key, .origin_seq = origin, .identity = "idid"});
  }
  static uint64_t position(Stream& s, std::string_view key = "O > >") {
    const SourcePosition* p = s.inbox()->source_positions().find(key);
    return p == nullptr ? 0 : p->seq;
  }
};

TEST_F(Inbox, MirrorKeepsSequencesTimesAndGaps) {
  Stream& m = make(R"({"name":"M","mirror":{"name":"O"}})");
  ASSERT_TRUE(mirrored(m, 3, "o.a"));
  ASSERT_TRUE(mirrored(m, 4, "o.b"));
  ASSERT_TRUE(mirrored(m, 9, "o.c"));
  ASSERT_TRUE(mirrored(m, 4, "o.b", "again"));  // passed over
  EXPECT_EQ(m.visible_last().value(), 0u);
  settle();
  EXPECT_EQ(m.visible_last().value(), 9u);
  EXPECT_EQ(seqs(m), (std::vector<uint64_t>{3, 4, 9}));
  const StreamState state = m.store().state();
  EXPECT_EQ(state.first_seq.value(), 3u);
  EXPECT_EQ(state.num_deleted, 4u);
  EXPECT_EQ(m.store().load(StreamSeq(9))->time, 9000);
}

TEST_F(Inbox, MirrorTransformsAndSkipsWhatItsLimitsForbid) {
  Stream& m = make(R"({"name":"M","mirror":{"name":"O"},"max_msgs":2,"discard":"new","max_msg_size":10,
                       "subject_transform":{"src":">","dest":"t.>"}})");
  ASSERT_TRUE(mirrored(m, 1, "a"));
  ASSERT_TRUE(mirrored(m, 2, "b", std::string(11, 'x')));
  ASSERT_TRUE(mirrored(m, 3, "c"));
  ASSERT_TRUE(mirrored(m, 4, "d"));
  settle();
  EXPECT_EQ(seqs(m), (std::vector<uint64_t>{1, 3}));
  EXPECT_EQ(m.store().load(StreamSeq(1))->subject, "t.a");
  EXPECT_EQ(m.store().state().last_seq.value(), 4u);
  EXPECT_EQ(m.visible_last().value(), 4u);
}

TEST_F(Inbox, TooMuchWaitingIsToldAsFull) {
  options_.max_buffered_msgs = 2;
  Stream& m = make(R"({"name":"M","mirror":{"name":"O"}})");
  ASSERT_TRUE(mirrored(m, 1, "a"));
  ASSERT_TRUE(mirrored(m, 2, "a"));
  EXPECT_EQ(mirrored(m, 3, "a").error().code, Errc::kFull);
  settle();
  EXPECT_TRUE(mirrored(m, 3, "a"));
}

TEST_F(Inbox, AnOriginsSequenceMayBeFarButNotBeyondWhatCanBeCounted) {
  Stream& m = make(R"({"name":"M","storage":"memory","mirror":{"name":"O"}})");
  ASSERT_TRUE(mirrored(m, 1, "a"));
  ASSERT_TRUE(mirrored(m, uint64_t{1} << 40, "b"));
  const auto refused = m.inbox()->take_mirrored(StreamSeq(UINT64_MAX), 5, {.subject = "c", .reply = "", .headers = "", .payload = "x"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().api_code, 10077);
  EXPECT_NE(refused.error().detail.find("the origin's sequence 18446744073709551615"), std::string::npos);
  EXPECT_EQ(seqs(m), (std::vector<uint64_t>{1, uint64_t{1} << 40}));
}

TEST_F(Inbox, NoRoomIsAnErrorNotAGap) {
  Stream& m = make(R"({"name":"M","mirror":{"name":"O"}})");
  ASSERT_TRUE(mirrored(m, 1, "a"));
  store_.refuse_writes(Errc::kNoSpace);
  EXPECT_EQ(mirrored(m, 2, "a").error().api_code, 10023);
  store_.accept_writes();
  ASSERT_TRUE(mirrored(m, 2, "a"));
  EXPECT_EQ(seqs(m), (std::vector<uint64_t>{1, 2}));
}

TEST_F(Inbox, SourcedMessagesAreDeduplicated) {
  Stream& s = make(R"({"name":"S","sources":[{"name":"O"}],"duplicate_window":120000000000})");
  ASSERT_TRUE(sourced(s, 1, "o.a", "x"));
  ASSERT_TRUE(sourced(s, 2, "o.a", "x"));
  settle();
  EXPECT_EQ(seqs(s), (std::vector<uint64_t>{1}));
  EXPECT_EQ(position(s), 2u);
}

TEST_F(Inbox, SourcedRollupNeedsNoPermission) {
  Stream& s = make(R"({"name":"S","sources":[{"name":"O"}]})");
  ASSERT_TRUE(sourced(s, 1, "o.a"));
  const std::string headers = block({{"Nats-Rollup", "sub"}, {"Nats-Stream-Source", "O 2 > > o.a"}});
  ASSERT_TRUE(s.inbox()->take_sourced({.message = {.subject = "o.a", .reply = "", .headers = headers, .payload = ""},
                                       .key = "O > >", .origin_seq = 2, .identity = ""}));
  EXPECT_EQ(seqs(s), (std::vector<uint64_t>{2}));
}

TEST_F(Inbox, RefusalTellsItsCodeAndDoesNotMoveThePosition) {
  Stream& s = make(R"({"name":"S","sources":[{"name":"O"}],"max_msgs":1,"discard":"new"})");
  ASSERT_TRUE(sourced(s, 1, "o.a"));
  EXPECT_EQ(sourced(s, 2, "o.a").error().api_code, 10077);
  EXPECT_EQ(position(s), 1u);
}

TEST_F(Inbox, PositionsComeBackFromTheMessages) {
  Stream& s = make(R"({"name":"S","sources":[{"name":"O"}]})");
  ASSERT_TRUE(sourced(s, 5, "o.a"));
  ASSERT_TRUE(sourced(s, 8, "o.b"));
  settle();
  restart();
  EXPECT_EQ(position(*streams().find("S")), 8u);
  EXPECT_EQ(streams().find("S")->inbox()->source_positions().find("O > >")->identity, "idid");
}

TEST_F(Inbox, PositionsOutliveTheirMessages) {
  for (const bool purge : {true, false}) {
    Stream& s = make(R"({"name":"S","sources":[{"name":"O"}]})");
    ASSERT_TRUE(sourced(s, 5, "o.a"));
    ASSERT_TRUE(sourced(s, 8, "o.b"));
    if (purge) {
      ASSERT_TRUE(purge_now(s, {}));
    } else {
      ASSERT_TRUE(s.delete_message(StreamSeq(2), false));
      ASSERT_TRUE(s.delete_message(StreamSeq(1), false));
    }
    settle();
    restart();
    EXPECT_EQ(position(*streams().find("S")), 8u);
    ASSERT_TRUE(streams().remove("S"));
  }
}

TEST_F(Inbox, PositionsOutliveAMessageThatReplacesTheOther) {
  Stream& s = make(R"({"name":"S","sources":[{"name":"O"},{"name":"P"}],"max_msgs_per_subject":1})");
  ASSERT_TRUE(sourced(s, 5, "k", "", "O > >"));
  const std::string headers = block({{"Nats-Stream-Source", "P 77 > > k pp"}});
  ASSERT_TRUE(s.inbox()->take_sourced({.message = {.subject = "k", .reply = "", .headers = headers, .payload = ""},
                                       .key = "P > >", .origin_seq = 77, .identity = "pp"}));
  settle();
  restart();
  Stream& again = *streams().find("S");
  EXPECT_EQ(seqs(again), (std::vector<uint64_t>{2}));
  EXPECT_EQ(position(again, "O > >"), 5u);
  EXPECT_EQ(position(again, "P > >"), 77u);
}

TEST_F(Inbox, RemovedSourcesAreForgotten) {
  Stream& s = make(R"({"name":"S","sources":[{"name":"O"}]})");
  ASSERT_TRUE(sourced(s, 5, "o.a"));
  s.inbox()->keep_sources({});
  EXPECT_EQ(position(s), 0u);
  s.inbox()->reset_source("O > >", "new");
  EXPECT_EQ(s.inbox()->source_positions().find("O > >")->identity, "new");
}

}  // namespace
}  // namespace sluice
