// Governors on a whole engine.
#include "client/governor.h"

#include <deque>

#include "node_world.h"

namespace sluice::test {
namespace {

struct Worker {
  Worker(NodeWorld& w, std::string holder, std::chrono::nanoseconds max_wait = 5min)
      : link(make_bus_link(w.sim.env(), w.node->bus())),
        client(StreamClient::make(w.sim.env(), *link)),
        campaign(std::make_unique<GovernorCampaign>(
            w.sim.env(), *client,
            CampaignOptions{.governor = "PUPPET", .holder = std::move(holder), .interval = 1s, .max_wait = max_wait})) {}
  void enter() {
    campaign->enter([this](Result<uint64_t> got) { outcome = std::move(got); });
  }
  void leave() {
    campaign->leave([this](Status status) { left = std::move(status); });
  }
  bool holds() const { return outcome && *outcome; }

  std::unique_ptr<NatsLink> link;
  std::unique_ptr<StreamClient> client;
  std::optional<Result<uint64_t>> outcome;
  std::optional<Status> left;
  std::unique_ptr<GovernorCampaign> campaign;
};

class GovernorTest : public testing::Test {
 protected:
  void SetUp() override { w_.start(); }
  void make(uint64_t capacity) {
    NodeClient& admin = w_.client("admin");
    const Json made =
        w_.api(admin, "STREAM.CREATE.GOVERNOR_PUPPET", encode_governor({.name = "PUPPET", .capacity = capacity}));
    ASSERT_FALSE(made.contains("error")) << made.dump();
  }
  uint64_t held() { return w_.stream_state(w_.client("look"), "GOVERNOR_PUPPET")["messages"]; }

  NodeWorld w_;
  std::deque<Worker> workers_;
};

TEST_F(GovernorTest, NeverMoreThanItsCapacityHold) {
  make(2);
  for (int i = 0; i < 5; ++i) workers_.emplace_back(w_, fmt::format("n{}", i)).enter();
  size_t done = 0;
  for (int round = 0; round < 60 && done < workers_.size(); ++round) {
    w_.sim.advance(1s);
    size_t holding = 0;
    for (Worker& w : workers_) holding += w.holds() && !w.left;
    EXPECT_LE(holding, 2u);
    for (Worker& w : workers_) {
      if (w.holds() && !w.left) {
        w.leave();
        break;
      }
    }
    done = 0;
    for (Worker& w : workers_) done += w.left.has_value();
  }
  EXPECT_EQ(done, 5u);
  EXPECT_EQ(held(), 0u);
}

TEST_F(GovernorTest, GivesUpAfterMaxWaitWithAWord) {
  make(1);
  Worker& a = workers_.emplace_back(w_, "a");
  a.enter();
  w_.sim.advance(1s);
  ASSERT_TRUE(a.holds());
  Worker& b = workers_.emplace_back(w_, "b", 10s);
  b.enter();
  w_.sim.advance(9s);
  EXPECT_FALSE(b.outcome.has_value());
  w_.sim.advance(3s);
  ASSERT_TRUE(b.outcome.has_value());
  ASSERT_FALSE(*b.outcome);
  EXPECT_EQ(b.outcome->error().code, Errc::kTimeout);
  EXPECT_EQ(held(), 1u);
}

TEST_F(GovernorTest, ALostAnswerCostsNoSecondSlot) {
  make(3);
  Worker& a = workers_.emplace_back(w_, "a");
  w_.sim.disk_workers().set_latency(3s, 3s);  // longer than a try waits
  a.enter();
  w_.sim.advance(8s);
  w_.sim.disk_workers().set_latency(0s, 0s);
  ASSERT_TRUE(w_.sim.run_until([&] { return a.outcome.has_value(); }, 60s));
  ASSERT_TRUE(a.holds());
  w_.sim.advance(1s);
  EXPECT_EQ(held(), 1u);
  a.leave();
  w_.sim.advance(1s);
  EXPECT_TRUE(a.left && *a.left);
  EXPECT_EQ(held(), 0u);
}

TEST_F(GovernorTest, AHolderThatDiedFreesItsSlotByAge) {
  make(1);
  Worker& a = workers_.emplace_back(w_, "a");
  a.enter();
  w_.sim.advance(1s);
  ASSERT_TRUE(a.holds());
  a.campaign.reset();
  Worker& b = workers_.emplace_back(w_, "b", 10min);
  b.enter();
  EXPECT_TRUE(w_.sim.run_until([&] { return b.outcome.has_value(); }, 5min + 5s));
  EXPECT_TRUE(b.holds());
}

TEST_F(GovernorTest, AMissingGovernorIsSaid) {
  Worker& a = workers_.emplace_back(w_, "a");
  a.enter();
  w_.sim.advance(3s);
  ASSERT_TRUE(a.outcome.has_value());
  EXPECT_EQ(a.outcome->error().code, Errc::kNotFound);
}

TEST_F(GovernorTest, ReadsItsOwnConfiguration) {
  make(7);
  const Json info = w_.api(w_.client("look"), "STREAM.INFO.GOVERNOR_PUPPET");
  const auto spec = parse_governor(info.dump());
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->name, "PUPPET");
  EXPECT_EQ(spec->collective, "mcollective");
  EXPECT_EQ(spec->capacity, 7u);
  EXPECT_EQ(spec->expiry, 5min);
  w_.make_stream(w_.client("other"), "ORDERS", "orders.>");
  EXPECT_FALSE(parse_governor(w_.api(w_.client("look2"), "STREAM.INFO.ORDERS").dump()));
}

}  // namespace
}  // namespace sluice::test
