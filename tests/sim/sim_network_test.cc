#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sim/sim_env.h"
#include "sim/sim_peer.h"

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;

std::string pattern(size_t size) {
  std::string out(size, ' ');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return out;
}

struct Pair {
  explicit Pair(SimEnv& sim, const std::string& a = "local", const std::string& b = "local")
      : ends(sim.net().make_pair(a, b)), left(std::move(ends.first)), right(std::move(ends.second)) {}
  std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> ends;
  SimPeer left;
  SimPeer right;
};

TEST(SimNetwork, ConnectsListensAndRefuses) {
  SimEnv sim(1);
  std::vector<std::unique_ptr<SimPeer>> accepted;
  auto listener = sim.network().listen("0.0.0.0", 0, [&](std::unique_ptr<Transport> transport) {
    accepted.push_back(std::make_unique<SimPeer>(std::move(transport)));
  });
  ASSERT_TRUE(listener.has_value());
  const uint16_t port = (*listener)->port();
  EXPECT_FALSE(sim.network().listen("0.0.0.0", port, [](std::unique_ptr<Transport>) {}).has_value());
  SimPeer peer(sim.network(), "127.0.0.1", port);
  SimPeer far(sim.net().host("other"), "local", port);
  SimPeer lost(sim.net().host("other"), "127.0.0.1", port);
  peer.send("hello\r\nyou\r\n");
  EXPECT_FALSE(peer.connected());
  sim.run_until_idle();
  EXPECT_TRUE(peer.connected());
  EXPECT_TRUE(far.connected());
  ASSERT_TRUE(lost.closed());
  EXPECT_EQ(lost.close_reason()->code, Errc::kIo);
  ASSERT_EQ(accepted.size(), 2U);
  SimPeer& server = accepted[0]->received().empty() ? *accepted[1] : *accepted[0];
  EXPECT_EQ(server.take_line(), "hello");
  EXPECT_EQ(server.take_bytes(5), "you\r\n");
  EXPECT_EQ(server.take_line(), std::nullopt);
  listener->reset();
  SimPeer late(sim.network(), "localhost", port);
  sim.run_until_idle();
  EXPECT_TRUE(late.closed());
  accepted.clear();
  sim.run_until_idle();
  EXPECT_EQ(peer.close_reason()->code, Errc::kClosed);
}

TEST(SimNetwork, CancelledConnectNeverAnswers) {
  SimEnv sim(1);
  auto listener = sim.network().listen("", 4222, [](std::unique_ptr<Transport>) {});
  bool told = false;
  {
    Ticket ticket = sim.network().connect("localhost", 4222, [&](auto) { told = true; });
  }
  sim.run_until_idle();
  EXPECT_FALSE(told);
}

TEST(SimNetwork, BytesComeInOrderInChunksBothWays) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SimEnv sim(seed);
    sim.net().options().latency_low = 1ms;
    sim.net().options().latency_high = 9ms;
    sim.net().options().bytes_per_second = 10'000'000;
    Pair pair(sim);
    const std::string there = pattern(700'000);
    const std::string back = pattern(3'000);
    for (size_t at = 0; at < there.size(); at += 50'000) pair.left.send(there.substr(at, 50'000));
    pair.right.send(back);
    EXPECT_GT(pair.left.transport()->queued_bytes(), 0U);
    const MonoTime start = sim.clock().now();
    EXPECT_TRUE(sim.settle());
    EXPECT_TRUE(pair.right.received() == there);
    EXPECT_TRUE(pair.left.received() == back);
    EXPECT_EQ(pair.left.drained_count(), 1U);
    EXPECT_EQ(pair.right.drained_count(), 0U);  // nothing had to be queued
    EXPECT_GE(sim.clock().now() - start, 70ms);
  }
}

TEST(SimNetwork, PausedReaderPushesBack) {
  SimEnv sim(5);
  sim.net().options().window_bytes = 1000;
  Pair pair(sim);
  pair.right.pause_reading();
  pair.left.send(pattern(5000));
  sim.run_until_idle();
  EXPECT_EQ(pair.left.transport()->queued_bytes(), 4000U);
  EXPECT_EQ(pair.right.received(), "");
  EXPECT_EQ(pair.left.drained_count(), 0U);
  pair.right.resume_reading();
  sim.run_until_idle();
  EXPECT_EQ(pair.right.received(), pattern(5000));
  EXPECT_EQ(pair.left.drained_count(), 1U);
}

TEST(SimNetwork, FlushingCloseDeliversAllThenTheEnd) {
  SimEnv sim(5);
  sim.net().options().window_bytes = 1000;
  Pair pair(sim);
  pair.left.send(pattern(5000));
  pair.left.close(true);
  sim.run_until_idle();
  EXPECT_EQ(pair.right.received(), pattern(5000));
  ASSERT_TRUE(pair.right.closed());
  EXPECT_EQ(pair.right.close_reason()->code, Errc::kClosed);
  EXPECT_FALSE(pair.left.closed());  // never after close()
}

TEST(SimNetwork, CloseAtOnceDropsTheQueueAndFlushIsBounded) {
  SimEnv sim(5);
  sim.net().options().window_bytes = 1000;
  Pair pair(sim);
  pair.left.send(pattern(5000));
  pair.left.close(false);
  sim.run_until_idle();
  EXPECT_EQ(pair.right.received(), pattern(5000).substr(0, 1000));
  EXPECT_TRUE(pair.right.closed());

  Pair stuck(sim);
  stuck.right.pause_reading();
  stuck.left.send(pattern(5000));
  stuck.left.close(true);
  sim.advance(10s);
  EXPECT_EQ(stuck.left.transport()->queued_bytes(), 0U);
  stuck.right.resume_reading();
  sim.run_until_idle();
  EXPECT_EQ(stuck.right.received().size(), 1000U);
  EXPECT_TRUE(stuck.right.closed());
}

TEST(SimNetwork, WritingToAClosedPeerFailsEvenWhenPaused) {
  SimEnv sim(5);
  Pair pair(sim);
  pair.left.pause_reading();
  pair.right.close();
  sim.run_until_idle();
  EXPECT_FALSE(pair.left.closed());
  pair.left.send("x");
  sim.run_until_idle();
  ASSERT_TRUE(pair.left.closed());
  EXPECT_EQ(pair.left.close_reason()->code, Errc::kIo);
}

TEST(SimNetwork, CutHoldsEverythingBackUntilHealed) {
  SimEnv sim(5);
  Pair pair(sim, "a", "b");
  Pair other(sim, "a", "c");
  sim.net().cut("b", "a");
  pair.left.send("one");
  other.left.send("two");
  pair.right.close();
  SimPeer connecting(sim.net().host("a"), "b", 1);
  sim.advance(30s);
  EXPECT_EQ(pair.right.received(), "");
  EXPECT_FALSE(pair.left.closed());  // half-open
  EXPECT_EQ(other.right.received(), "two");
  ASSERT_TRUE(connecting.closed());
  EXPECT_EQ(connecting.close_reason()->code, Errc::kTimeout);
  sim.net().heal("a", "b");
  sim.run_until_idle();
  EXPECT_TRUE(pair.left.closed());
}

TEST(SimNetwork, ResetTellsBothSidesAlsoOnesNotYetStarted) {
  SimEnv sim(5);
  Pair pair(sim, "a", "b");
  auto fresh = sim.net().make_pair("a", "b");
  sim.net().reset("a", "b");
  sim.run_until_idle();
  EXPECT_EQ(pair.left.close_reason()->code, Errc::kIo);
  EXPECT_EQ(pair.right.close_reason()->code, Errc::kIo);
  SimPeer late(std::move(fresh.first));
  EXPECT_FALSE(late.closed());
  sim.run_until_idle();
  EXPECT_TRUE(late.closed());
  EXPECT_EQ(sim.net().open_connections(), 0U);
}

struct Suicidal : TransportHandler {
  std::unique_ptr<Transport> transport;
  void on_bytes(std::string_view) override { transport.reset(); }
  void on_drained() override {}
  void on_closed(const Error&) override { transport.reset(); }
};

TEST(SimNetwork, HandlerMayDestroyItsTransport) {
  SimEnv sim(5);
  auto [a, b] = sim.net().make_pair();
  SimPeer peer(std::move(a));
  Suicidal handler;
  handler.transport = std::move(b);
  handler.transport->start(handler);
  peer.send(pattern(100'000));
  sim.run_until_idle();
  EXPECT_TRUE(peer.closed());
  auto [c, d] = sim.net().make_pair();
  handler.transport = std::move(d);
  handler.transport->start(handler);
  c.reset();
  sim.run_until_idle();
  EXPECT_EQ(handler.transport, nullptr);
}

}  // namespace
}  // namespace sluice::sim
