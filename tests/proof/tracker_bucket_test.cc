// The sampling state in a bucket of a whole engine: who leads next knows what was copied and told.
#include "replicator/tracker_bucket.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "node/node.h"
#include "replicator/limiter.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// The way to a replicated stream of nats-server: of fenced writes it looks at one at a time and refuses the others (10164).
class ReplicatedLink : public NatsLink {
 public:
  explicit ReplicatedLink(std::unique_ptr<NatsLink> under) : under_(std::move(under)) {}
  LinkState state() const override { return under_->state(); }
  Ticket on_state(std::move_only_function<void(LinkState)> listener) override { return under_->on_state(std::move(listener)); }
  Status publish(const LinkMessage& message) override {
    if (message.headers.find("Nats-Expected-Last-Subject-Sequence-Subject") == message.headers.npos) return under_->publish(message);
    if (looked_at_.empty()) {
      looked_at_ = message.reply;
      return under_->publish(message);
    }
    ++refused;
    return under_->publish({message.reply, {}, {}, R"({"error":{"code":503,"err_code":10164,"description":"expected last sequence per subject temporarily unavailable"},"stream":"","seq":0})"});
  }
  Ticket request(const LinkMessage& message, std::chrono::nanoseconds timeout, std::move_only_function<void(Result<LinkMessage>)> done) override {
    return under_->request(message, timeout, std::move(done));
  }
  std::unique_ptr<LinkSubscription> subscribe(std::string_view subject, std::string_view queue,
                                              std::move_only_function<void(const LinkMessage&)> handler) override {
    return under_->subscribe(subject, queue, [this, told = std::move(handler)](const LinkMessage& message) mutable {
      if (message.subject == looked_at_) looked_at_.clear();
      told(message);
    });
  }
  std::string new_inbox() override { return under_->new_inbox(); }
  std::string peer() const override { return under_->peer(); }
  uint64_t dropped() const override { return under_->dropped(); }

  size_t refused = 0;

 private:
  std::unique_ptr<NatsLink> under_;
  std::string looked_at_;  ///< where its ack goes; empty = none is under way
};

/// One replicator of several, all at one source.
struct Member {
  Member(sim::SimEnv& world, Node& node, const StreamCopyOptions& options, const std::string& state_dir = "")
      : Member(world, make_bus_link(world.env(), node.bus()), options, state_dir) {}
  Member(sim::SimEnv& world, std::unique_ptr<NatsLink> way, const StreamCopyOptions& options, const std::string& state_dir = "")
      : sim(world), link(std::move(way)), client(StreamClient::make(world.env(), *link)),
        limiter(*Limiter::make(world.env(), options, "edge", state_dir, *client)) {
    limiter->start();
  }
  /// @return how long it took until it knows what there is to know.
  std::chrono::nanoseconds lead(uint64_t token = 0) {
    const MonoTime begun = sim.clock().now();
    bool ready = false;
    limiter->lead(token, [&] { ready = true; });
    EXPECT_TRUE(sim.run_until([&] { return ready; }, 60s));
    return sim.clock().now() - begun;
  }
  bool stop() {
    bool stopped = false;
    limiter->stop([&] { stopped = true; });
    return sim.run_until([&] { return stopped; }, 10s);
  }
  /// How many of these are to be copied.
  size_t see(size_t from, size_t to) {
    size_t copied = 0;
    for (size_t i = from; i < to; ++i) {
      const auto verdict = limiter->judge("s.n" + std::to_string(i), "", "body");
      if (!verdict.copy) continue;
      ++copied;
      limiter->copied(verdict.value);
    }
    return copied;
  }
  bool run_until_written(std::chrono::nanoseconds most) {
    return sim.run_until([&] { return limiter->bucket()->waiting() == 0; }, most);
  }

  sim::SimEnv& sim;
  std::unique_ptr<NatsLink> link;
  std::unique_ptr<StreamClient> client;
  std::unique_ptr<Limiter> limiter;
};

class TrackerBucketTest : public testing::Test {
 protected:
  TrackerBucketTest() {
    configure_logging({.level = LogLevel::kOff, .file = {}});
    NodeOptions node_options;
    node_options.server.jetstream = true;
    node_options.server.server_name = "SOURCE";
    node_options.store.dir = "data";
    node_options.store.reserve_bytes = 512 * kKiB;
    node = *Node::make(sim.env(), std::move(node_options));
    EXPECT_TRUE(node->start());
    sim.settle();
    options.name = "reg";
    options.stream = "REGISTRATION";
    options.inspect = {.subject_token = 2, .duration = 1h, .warn = 10min, .state_bucket = "SAMPLING"};
  }
  ~TrackerBucketTest() override {
    listener.reset();
    node.reset();
    sim.drop_tasks();
  }
  std::unique_ptr<Member> member(const std::string& state_dir = "") {
    return std::make_unique<Member>(sim, *node, options, state_dir);
  }
  /// Advisories are asked for, and heard here: event and value.
  void listen() {
    options.inspect.advisory = {.subject = "advisories.%s.%v", .reliable = false};
    listener_link = make_bus_link(sim.env(), node->bus());
    listener = listener_link->subscribe("advisories.>", "", [this](const LinkMessage& m) { told.emplace_back(m.subject.substr(11)); });
  }
  size_t times_told(const std::string& what) { return static_cast<size_t>(std::count(told.begin(), told.end(), what)); }

  sim::SimEnv sim{1};
  std::unique_ptr<Node> node;
  StreamCopyOptions options;
  std::unique_ptr<NatsLink> listener_link;
  std::unique_ptr<LinkSubscription> listener;
  std::vector<std::string> told;
};

TEST_F(TrackerBucketTest, WhoTakesOverAfterAKillKnowsWhatWasCopied) {
  auto first = member(), standby = member();
  standby->limiter->rest();
  EXPECT_LT(first->lead(), 1s);
  EXPECT_EQ(first->see(0, 1000), 1000u);
  ASSERT_TRUE(first->run_until_written(5s));
  first.reset();
  EXPECT_LT(standby->lead(), 1s);
  EXPECT_EQ(standby->see(0, 1010), 10u) << "only what the first one never saw";
  EXPECT_EQ(standby->limiter->bucket()->figures().unread, 0u);
  ASSERT_TRUE(standby->run_until_written(5s));
  standby.reset();
  auto fresh = member();  // which followed nobody
  EXPECT_LT(fresh->lead(), 3s);
  EXPECT_EQ(fresh->see(0, 1010), 0u);
}

TEST_F(TrackerBucketTest, APlannedStopLeavesNothingUnwritten) {
  auto first = member();
  first->lead();
  EXPECT_EQ(first->see(0, 3000), 3000u);
  const MonoTime begun = sim.clock().now();
  ASSERT_TRUE(first->stop());
  EXPECT_LE(sim.clock().now() - begun, 1s);
  auto second = member();
  second->lead();
  EXPECT_EQ(second->see(0, 3000), 0u);
}

TEST_F(TrackerBucketTest, NothingIsToldTwiceOrLostWhenTheLeaderChanges) {
  listen();
  auto first = member(), standby = member();
  standby->limiter->rest();
  first->lead();
  first->see(1, 2);  // falls silent and is told of by the first
  sim.advance(5min);
  first->see(2, 3);  // falls silent while nobody leads
  sim.advance(6min);
  EXPECT_EQ(times_told("timeout.n1"), 1u);
  ASSERT_TRUE(first->run_until_written(5s));
  first.reset();
  sim.advance(10min);
  standby->lead();
  sim.advance(20s);
  EXPECT_EQ(times_told("timeout.n1"), 1u);
  EXPECT_EQ(times_told("timeout.n2"), 1u) << "lost with the leader";
  standby->see(1, 2);
  sim.advance(50min);  // n2 expires, n1 times out again
  EXPECT_EQ(times_told("expire.n2"), 1u);
  EXPECT_EQ(times_told("recover.n1"), 1u);
  EXPECT_EQ(times_told("timeout.n1"), 2u);
  ASSERT_TRUE(standby->run_until_written(5s));
  standby.reset();
  auto third = member();
  third->lead();
  sim.advance(20s);
  EXPECT_EQ(times_told("expire.n2"), 1u) << "known to be told";
  EXPECT_EQ(third->limiter->tracker().size(), 1u);
  EXPECT_EQ(times_told("new.n1") + times_told("new.n2"), 2u);
}

TEST_F(TrackerBucketTest, AVoiceOverGossipAndTheBucketAgree) {
  listen();
  auto first = member(), standby = member();
  standby->limiter->rest();
  first->lead();
  first->see(0, 50);
  sim.advance(11min);  // all were told of
  EXPECT_EQ(told.size(), 100u);
  ASSERT_TRUE(first->run_until_written(5s));
  first.reset();
  standby->lead();
  sim.advance(30s);
  EXPECT_EQ(told.size(), 100u) << "by gossip it saw them; the bucket says that their silence was told";
}

TEST_F(TrackerBucketTest, WritesAreBoundedInASecondAndNoneIsForgotten) {
  auto first = member();
  first->lead();
  first->see(0, 12'000);
  EXPECT_EQ(first->limiter->bucket()->waiting(), 12'000u);
  sim.advance(1500ms);
  EXPECT_LE(first->limiter->bucket()->figures().written, 10'000u);
  EXPECT_GT(first->limiter->bucket()->waiting(), 0u);
  ASSERT_TRUE(first->run_until_written(10s));
  first->see(0, 10);
  ASSERT_TRUE(first->run_until_written(3s));
  EXPECT_EQ(first->limiter->bucket()->figures().written, 12'010u) << "only what changed";
}

TEST_F(TrackerBucketTest, ABucketThatCantBeReadHoldsNobodyUpForever) {
  options.inspect.state_bucket = "TAKEN";
  auto link = make_bus_link(sim.env(), node->bus());
  auto client = StreamClient::make(sim.env(), *link);
  bool made = false;
  Ticket call = client->api("STREAM.CREATE", "KV_TAKEN", R"({"name":"KV_TAKEN","subjects":["other.>"]})",
                            [&](const Result<std::string>& reply) { made = reply.has_value(); });
  ASSERT_TRUE(sim.run_until([&] { return made; }, 5s));
  auto first = member();
  const auto waited = first->lead();
  EXPECT_GE(waited, 10s);
  EXPECT_LE(waited, 11s);
  EXPECT_EQ(first->limiter->bucket()->figures().unread, 1u);
  EXPECT_EQ(first->see(0, 10), 10u);
  EXPECT_EQ(first->see(0, 10), 0u) << "sampling itself goes on";
}

TEST_F(TrackerBucketTest, AStaleLeadersWritesAreRefused) {
  auto stale = member(), leader = member();
  stale->lead(5);
  stale->see(0, 10);
  ASSERT_TRUE(stale->run_until_written(5s));
  leader->limiter->rest();
  leader->lead(9);  // and nobody has told the other one
  stale->see(10, 20);
  sim.advance(5s);
  EXPECT_TRUE(stale->limiter->bucket()->superseded());
  EXPECT_GT(stale->limiter->bucket()->figures().refused, 0u);
  EXPECT_EQ(stale->limiter->bucket()->figures().written, 10u);
  EXPECT_EQ(stale->limiter->bucket()->waiting(), 10u);
  EXPECT_EQ(leader->see(0, 10), 0u);
  leader->see(20, 30);
  ASSERT_TRUE(leader->run_until_written(5s));
  EXPECT_EQ(leader->limiter->bucket()->figures().refused, 0u);
  auto next = member();
  next->lead(12);
  EXPECT_EQ(next->see(0, 30), 10u) << "of the stale leader's last words nothing was taken";
  // It wins again, and says what it knows.
  stale->limiter->rest();
  stale->lead(15);
  ASSERT_TRUE(stale->run_until_written(5s));
}

TEST_F(TrackerBucketTest, WhereOneFencedWriteIsLookedAtAtATimeTheyGoOneByOne) {
  auto way = std::make_unique<ReplicatedLink>(make_bus_link(sim.env(), node->bus()));
  ReplicatedLink& cluster = *way;
  Member first(sim, std::move(way), options);
  first.lead(5);
  first.see(0, 600);
  ASSERT_TRUE(first.run_until_written(5s));
  const size_t refused = cluster.refused;
  EXPECT_GT(refused, 0u);
  EXPECT_LT(refused, 600u) << "only those that were under way when the first one was refused";
  const TrackerBucketFigures& figures = first.limiter->bucket()->figures();
  EXPECT_EQ(figures.written, 600u);
  EXPECT_EQ(figures.failed, 0u);
  EXPECT_EQ(figures.refused, 0u) << "our mark stands: nobody else leads";
  EXPECT_FALSE(first.limiter->bucket()->superseded());
  first.see(600, 900);
  ASSERT_TRUE(first.run_until_written(5s));
  EXPECT_EQ(cluster.refused, refused) << "one by one from the first time on";
  auto next = member();
  next->lead(9);
  EXPECT_EQ(next->see(0, 901), 1u);
  first.see(900, 910);  // and a stale one's are refused for what they are
  sim.advance(5s);
  EXPECT_TRUE(first.limiter->bucket()->superseded());
  EXPECT_EQ(figures.written, 900u);
}

TEST_F(TrackerBucketTest, AnEarlierTokenIsBelievedOnlyWhenItGoesOnLeading) {
  auto first = member();
  first->lead(100);
  first->see(0, 10);
  ASSERT_TRUE(first->run_until_written(5s));
  first.reset();
  auto second = member();
  EXPECT_GE(second->lead(1), 10s) << "the bucket of the elections was made anew, or it is the stale one";
  EXPECT_EQ(second->see(0, 11), 1u) << "what stood there was read";
  ASSERT_TRUE(second->run_until_written(20s));
  EXPECT_FALSE(second->limiter->bucket()->superseded());
}

TEST_F(TrackerBucketTest, TheMarkIsKeptWhenTheBucketForgetsAndFoundWhenItWasTakenAway) {
  options.inspect.duration = 20s;
  auto first = member();
  first->lead(5);
  for (size_t i = 0; i < 20; ++i) {
    sim.advance(15s);
    first->see(i, i + 1);
  }
  ASSERT_TRUE(first->run_until_written(5s));
  EXPECT_EQ(first->limiter->bucket()->figures().refused, 0u);
  bool purged = false;
  Ticket call = first->client->api("STREAM.PURGE", "KV_SAMPLING", R"({"filter":"$KV.SAMPLING.tracker.*.reader"})",
                                   [&](const Result<std::string>& reply) { purged = reply.has_value(); });
  ASSERT_TRUE(sim.run_until([&] { return purged; }, 5s));
  first->see(20, 25);
  ASSERT_TRUE(first->run_until_written(10s));
  EXPECT_GT(first->limiter->bucket()->figures().refused, 0u);
}

TEST_F(TrackerBucketTest, TheStateFileWorksBesideIt) {
  auto first = member("state");
  first->lead();
  first->see(0, 20);
  ASSERT_TRUE(first->stop());
  options.inspect.state_bucket.clear();
  auto second = member("state");
  second->limiter->lead(0);
  EXPECT_EQ(second->see(0, 20), 0u);
}

TEST_F(TrackerBucketTest, StrangeNamesAndValuesHaveKeysToo) {
  options.name = "a b.*>";
  options.inspect = {.header = "Sender", .duration = 1h, .state_bucket = "SAMPLING"};
  const std::vector<std::string> values = {"with space", "*.>", "ünïcode", std::string(2000, 'x')};
  auto first = member();
  first->lead();
  for (const std::string& value : values) {
    const auto verdict = first->limiter->judge("s", "NATS/1.0\r\nSender: " + value + "\r\n\r\n", "");
    EXPECT_TRUE(verdict.copy);
    first->limiter->copied(verdict.value);
  }
  ASSERT_TRUE(first->stop());
  auto second = member();
  second->lead();
  for (const std::string& value : values)
    EXPECT_FALSE(second->limiter->judge("s", "NATS/1.0\r\nSender: " + value + "\r\n\r\n", "").copy) << value;
  EXPECT_EQ(second->limiter->bucket()->figures().bad, 0u);
}

}  // namespace
}  // namespace sluice
