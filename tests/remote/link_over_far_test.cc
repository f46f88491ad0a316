// A link over long ways, against our own server: simulated network and clock.
#include <gtest/gtest.h>

#include "base/log.h"
#include "remote/remote_link.h"
#include "server/server.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct FarLink : testing::Test {
  FarLink() { configure_logging({.level = LogLevel::kOff, .file = {}}); }
  void start(ServerOptions options = {}) {
    options.port = 4222;
    server = std::make_unique<Server>(far.env(), std::move(options));
    ASSERT_TRUE(server->start());
  }
  std::unique_ptr<NatsLink> link(LinkOptions options = {}) {
    options.urls = {"nats://far:4222"};
    return *make_remote_link(sim.env(), options);
  }
  bool connects(NatsLink& link, std::chrono::nanoseconds within) {
    return sim.run_until([&] { return link.state() == LinkState::kConnected; }, within);
  }
  void trip(std::chrono::nanoseconds way) { sim.net().options().latency_low = sim.net().options().latency_high = way; }

  sim::SimEnv sim{1};
  sim::SimMachine& far{sim.add_machine("far")};
  std::unique_ptr<Server> server;
};

TEST_F(FarLink, ConnectsOverThreeSecondsThereAndBackByDefault) {
  start();
  trip(1500ms);
  auto one = link();
  EXPECT_TRUE(connects(*one, 15s));
  LinkOptions hasty;
  hasty.connect_timeout = 2s;
  auto other = link(hasty);
  EXPECT_FALSE(connects(*other, 60s));
}

TEST_F(FarLink, IsCompressedWhenTheWayIsLongAndTheServerOffersIt) {
  start();
  trip(50ms);
  auto one = link();
  ASSERT_TRUE(connects(*one, 5s));
  std::vector<std::string> got;
  auto sub = one->subscribe("a", "", [&](const LinkMessage& m) { got.emplace_back(m.payload); });
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(one->publish({"a", "", "", "the same words each time " + std::to_string(i)}));
  sim.advance(2s);
  ASSERT_EQ(got.size(), 500u);
  EXPECT_EQ(got[499], "the same words each time 499");
  const LinkTraffic traffic = one->traffic();
  EXPECT_TRUE(traffic.compressed);
  EXPECT_GT(traffic.sent, 500u * 25);
  EXPECT_LT(traffic.sent_on_wire * 3, traffic.sent);
  EXPECT_LT(traffic.received_on_wire * 3, traffic.received);
}

TEST_F(FarLink, AReconnectBeginsWithWhatTheLastConnectionCarried) {
  start();
  trip(50ms);
  LinkOptions options;
  options.dictionary_folder = "/state/zstd/copy_target";
  auto one = link(options);
  ASSERT_TRUE(connects(*one, 5s));
  // Bodies that come again, each one too different from the others to be packed by them.
  std::vector<std::string> bodies(100);
  for (std::string& body : bodies)
    for (int i = 0; i < 400; ++i) body += static_cast<char>('a' + sim.random().below(26));
  const auto cost = [&](NatsLink& of) {
    const uint64_t before = of.traffic().sent_on_wire;
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(of.publish({"a", "", "", bodies[static_cast<size_t>(i)]}));
    sim.advance(1s);
    return of.traffic().sent_on_wire - before;
  };
  const uint64_t cold = cost(*one);
  EXPECT_GT(cold, 10'000u);
  for (int round = 0; round < 5; ++round)
    for (const std::string& body : bodies) ASSERT_TRUE(one->publish({"a", "", "", body}));
  sim.advance(2s);
  // The server lives on, the copy's process does not.
  one.reset();
  sim.advance(1s);
  one = link(options);
  ASSERT_TRUE(connects(*one, 5s));
  EXPECT_LT(cost(*one) * 4, cold);
  // A server that has lost its memory costs what a first connection does, and nothing else.
  one.reset();
  server.reset();
  sim.run_until_idle();
  start();
  one = link(options);
  ASSERT_TRUE(connects(*one, 5s));
  EXPECT_GT(cost(*one), cold - cold / 10);
}

TEST_F(FarLink, StaysPlainOnAShortWayWhenNotOfferedAndWhenNotWanted) {
  start({.max_compressed = 0});
  trip(50ms);
  auto unoffered = link();
  ASSERT_TRUE(connects(*unoffered, 5s));
  EXPECT_FALSE(unoffered->traffic().compressed);
  LinkOptions insisting;
  insisting.compression = LinkCompression::kZstd;
  auto refused = link(insisting);
  EXPECT_FALSE(connects(*refused, 30s));
  unoffered.reset();
  refused.reset();
  server.reset();
  sim.run_until_idle();
  start();
  LinkOptions unwilling;
  unwilling.compression = LinkCompression::kNone;
  auto unwanted = link(unwilling);
  ASSERT_TRUE(connects(*unwanted, 5s));
  EXPECT_FALSE(unwanted->traffic().compressed);
  trip(1ms);
  auto near = link();
  auto wanted = link(insisting);
  ASSERT_TRUE(connects(*near, 5s) && connects(*wanted, 5s));
  EXPECT_FALSE(near->traffic().compressed);
  EXPECT_TRUE(wanted->traffic().compressed);
}

TEST_F(FarLink, OnlySoManyAreCompressed) {
  start({.max_compressed = 1});
  trip(50ms);
  auto first = link(), second = link();
  ASSERT_TRUE(connects(*first, 5s));
  ASSERT_TRUE(connects(*second, 30s));
  EXPECT_NE(first->traffic().compressed, second->traffic().compressed);
  first.reset();
  second.reset();
  sim.advance(1s);
  auto third = link();
  ASSERT_TRUE(connects(*third, 5s));
  EXPECT_TRUE(third->traffic().compressed) << "their places are free again";
}

TEST_F(FarLink, ARefusedLoginIsReadAlthoughCompressionHadBegun) {
  start({.user = "u", .password = "p"});
  trip(50ms);
  LinkOptions wrong;
  wrong.user = "u";
  wrong.password = "q";
  auto one = link(wrong);
  EXPECT_FALSE(connects(*one, 10s));
  LinkOptions right = wrong;
  right.password = "p";
  auto other = link(right);
  ASSERT_TRUE(connects(*other, 10s));
  EXPECT_TRUE(other->traffic().compressed);
}

TEST_F(FarLink, ADrainedSubscriptionHandsOutWhatWasOnItsWay) {
  start();
  auto one = link();
  ASSERT_TRUE(connects(*one, 5s));
  int got = 0;
  auto sub = one->subscribe("a", "", [&](const LinkMessage&) { ++got; });
  sub->pause();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(one->publish({"a", "", "", ""}));
  sim.advance(1s);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(one->publish({"a", "", "", ""}));
  sub->drain();
  sub->drain();
  ASSERT_TRUE(one->publish({"a", "", "", "too late"}));
  sim.advance(1s);
  EXPECT_EQ(got, 0);
  sub->resume();
  sim.advance(1s);
  EXPECT_EQ(got, 10);
  sim.net().reset("local", "far");
  ASSERT_TRUE(sim.run_until([&] { return one->state() == LinkState::kReconnecting; }, 5s));
  ASSERT_TRUE(connects(*one, 30s));
  ASSERT_TRUE(one->publish({"a", "", "", ""}));
  sim.advance(1s);
  EXPECT_EQ(got, 10) << "it does not come back with the connection";
}

}  // namespace
}  // namespace sluice
