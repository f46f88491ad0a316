// Elections on a whole engine, each candidate over a link of its own.
#include "client/election.h"

#include <deque>

#include "node_world.h"

namespace sluice::test {
namespace {

struct Candidate {
  Candidate(NodeWorld& w, std::string name, std::string bucket = std::string(kElectionBucket))
      : link(make_bus_link(w.sim.env(), w.node->bus())),
        client(StreamClient::make(w.sim.env(), *link)),
        election(std::make_unique<Election>(
            w.sim.env(), *client,
            ElectionOptions{.bucket = std::move(bucket), .name = "E", .candidate = std::move(name)},
            ElectionEvents{.on_won =
                               [this](uint64_t token) {
                                 log.push_back("won");
                                 tokens.push_back(token);
                               },
                           .on_lost = [this](std::string_view) { log.push_back("lost"); },
                           .on_campaign = [this](ElectionState) { ++campaigns; }})) {}

  std::unique_ptr<NatsLink> link;
  std::unique_ptr<StreamClient> client;
  std::vector<std::string> log;
  std::vector<uint64_t> tokens;
  int campaigns = 0;
  std::unique_ptr<Election> election;
};

class ElectionTest : public testing::Test {
 protected:
  void SetUp() override {
    w_.start();
    make_bucket("60s", 60'000'000'000);
  }
  void make_bucket(const std::string&, int64_t ttl_ns, const std::string& name = std::string(kElectionBucket)) {
    w_.make_stream(w_.client("admin"), "KV_" + name, "$KV." + name + ".>",
                   fmt::format(R"(,"max_age":{},"max_msgs_per_subject":1,"discard":"new","deny_delete":true,)"
                               R"("allow_rollup_hdrs":true,"allow_direct":true,"duplicate_window":{})",
                               ttl_ns, ttl_ns));
  }
  Candidate& add(const std::string& name) {
    Candidate& c = candidates_.emplace_back(w_, name);
    c.election->start([](Status status) { ASSERT_TRUE(status) << status.error().detail; });
    return c;
  }
  bool until(const std::function<bool()>& done, std::chrono::nanoseconds max) { return w_.sim.run_until(done, max); }

  NodeWorld w_;
  std::deque<Candidate> candidates_;
};

TEST_F(ElectionTest, WinnerActsAfterItsSecondSuccess) {
  Candidate& a = add("a");
  ASSERT_TRUE(until([&] { return a.election->state() == ElectionState::kLeader; }, 6s));
  EXPECT_FALSE(a.election->leads());
  w_.sim.advance(40s);
  EXPECT_TRUE(a.log.empty());
  w_.sim.advance(6s);
  EXPECT_EQ(a.log, (std::vector<std::string>{"won"}));
  EXPECT_TRUE(a.election->leads());
  EXPECT_EQ(a.election->token(), a.tokens[0]);
  w_.sim.advance(10min);
  EXPECT_EQ(a.log.size(), 1u);
  EXPECT_EQ(a.election->token(), a.tokens[0]) << "the token is the term's, not the renewal's";
}

TEST_F(ElectionTest, OnlyOneLeadsWhateverComesAndGoes) {
  for (const char* name : {"a", "b", "c", "d"}) add(name);
  size_t most = 0;
  uint64_t last_token = 0;
  for (int second = 0; second < 1200; ++second) {
    w_.sim.advance(1s);
    size_t leaders = 0;
    for (Candidate& c : candidates_) {
      if (!c.election->leads()) continue;
      ++leaders;
      EXPECT_GE(c.election->token(), last_token) << "a token is never lower than one before";
      last_token = c.election->token();
    }
    most = std::max(most, leaders);
    if (second == 300) {  // the leader vanishes without a word
      for (Candidate& c : candidates_) {
        if (c.election->leads()) c.election.reset(new Election(w_.sim.env(), *c.client, {}, {}));
      }
    }
  }
  EXPECT_EQ(most, 1u);
  EXPECT_GT(last_token, 0u);
}

TEST_F(ElectionTest, FailoverWithinLeaseAndTwoIntervals) {
  Candidate& a = add("a");
  ASSERT_TRUE(until([&] { return a.election->leads(); }, 60s));
  Candidate& b = add("b");
  w_.sim.advance(70s);
  a.election.reset();
  EXPECT_TRUE(until([&] { return b.election->leads(); }, 60s + 2 * 45s + 1s));
  EXPECT_GT(b.tokens[0], a.tokens[0]);
}

TEST_F(ElectionTest, PlannedHandOverTakesUnderTwoSeconds) {
  Candidate& a = add("a");
  ASSERT_TRUE(until([&] { return a.election->leads(); }, 60s));
  Candidate& b = add("b");
  w_.sim.advance(20s);
  bool stopped = false;
  a.election->stop([&] { stopped = true; });
  EXPECT_EQ(a.log, (std::vector<std::string>{"won", "lost"})) << "on_lost runs at stop";
  ASSERT_TRUE(until([&] { return b.election->leads(); }, 2s));
  EXPECT_TRUE(stopped);
  EXPECT_GT(b.tokens[0], a.tokens[0]);
}

TEST_F(ElectionTest, AStandbysStopLeavesTheLeadersKey) {
  Candidate& a = add("a");
  ASSERT_TRUE(until([&] { return a.election->leads(); }, 60s));
  Candidate& b = add("b");
  w_.sim.advance(20s);
  bool stopped = false;
  b.election->stop([&] { stopped = true; });
  w_.sim.advance(5min);
  EXPECT_TRUE(stopped);
  EXPECT_TRUE(a.election->leads());
  EXPECT_EQ(a.log.size(), 1u);
}

TEST_F(ElectionTest, AForeignPutEndsTheTerm) {
  Candidate& a = add("a");
  ASSERT_TRUE(until([&] { return a.election->leads(); }, 60s));
  w_.publish(w_.client("evil"), "$KV.CHORIA_LEADER_ELECTION.E", "me");
  ASSERT_TRUE(until([&] { return !a.election->leads(); }, 46s));
  EXPECT_EQ(a.log, (std::vector<std::string>{"won", "lost"}));
}

TEST_F(ElectionTest, AnEvictedKeyIsTakenAgainOverItsMarker) {
  Candidate& a = add("a");
  ASSERT_TRUE(until([&] { return a.election->leads(); }, 60s));
  w_.publish(w_.client("admin"), "$KV.CHORIA_LEADER_ELECTION.E", "", "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n");
  ASSERT_TRUE(until([&] { return a.log.size() == 2; }, 46s));
  EXPECT_EQ(a.log.back(), "lost");
  EXPECT_TRUE(until([&] { return a.log.size() == 3; }, 100s));
  EXPECT_EQ(a.log.back(), "won");
  EXPECT_GT(a.tokens[1], a.tokens[0]);
}

TEST_F(ElectionTest, RefusesALeaseOutOfBounds) {
  make_bucket("", 1'000'000'000, "SHORT");
  Candidate& c = candidates_.emplace_back(w_, "a", "SHORT");
  Status got;
  c.election->start([&](Status status) { got = std::move(status); });
  w_.sim.advance(1s);
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().detail.find("needs a TTL"), std::string::npos) << got.error().detail;
  // Nothing is left held by that: once the bucket fits, the same candidate starts and leads.
  (void)w_.api(w_.client("mender"), "STREAM.DELETE.KV_SHORT");
  make_bucket("", 10'000'000'000, "SHORT");
  std::optional<Status> again;
  c.election->start([&](Status status) { again = std::move(status); });
  ASSERT_TRUE(until([&] { return c.election->leads(); }, 60s));
  ASSERT_TRUE(again && *again);
}

TEST_F(ElectionTest, AMissingBucketIsSaidAndABadNameToo) {
  Candidate& c = candidates_.emplace_back(w_, "a", "NOPE");
  std::vector<uint16_t> codes;
  c.election->start([&](Status status) { codes.push_back(status ? 1 : status.error().api_code); });
  Candidate& d = candidates_.emplace_back(w_, "a", "no such.bucket");
  Status bad;
  d.election->start([&](Status status) { bad = std::move(status); });
  w_.sim.advance(1s);
  EXPECT_EQ(codes, (std::vector<uint16_t>{10059}));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Errc::kInvalidArgument);
}

TEST_F(ElectionTest, ALeaseOfThreeSecondsFailsOverWithinTen) {
  make_bucket("", 3'000'000'000, "FAST");
  for (const char* name : {"a", "b"}) {
    Candidate& c = candidates_.emplace_back(w_, name, "FAST");
    c.election->start([](Status status) { ASSERT_TRUE(status); });
  }
  Candidate* leader = nullptr;
  ASSERT_TRUE(until(
      [&] {
        for (Candidate& c : candidates_) leader = c.election->leads() ? &c : leader;
        return leader != nullptr;
      },
      20s));
  Candidate& standby = leader == &candidates_[0] ? candidates_[1] : candidates_[0];
  leader->election.reset();
  EXPECT_TRUE(until([&] { return standby.election->leads(); }, 10s));
}

}  // namespace
}  // namespace sluice::test
