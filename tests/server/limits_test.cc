// Time and pressure: PINGs, slow consumers, paused publishers, draining.
#include "session.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using sim::SimPeer;
using test::ServerTest;

std::string publish_of(std::string_view subject, size_t size) {
  return "PUB " + std::string(subject) + " " + std::to_string(size) + "\r\n" +
         std::string(size, 'x') + "\r\n";
}

TEST_F(ServerTest, UnansweredPingsMakeAStaleConnection) {
  start({.ping_interval = 1s, .ping_max = 2});
  auto peer = client();
  sim.advance(1300ms);
  EXPECT_EQ(take(*peer), "PING\r\n");
  sim.advance(1s);
  EXPECT_EQ(take(*peer), "PING\r\n");
  sim.advance(1s);
  EXPECT_EQ(take(*peer), "-ERR 'Stale Connection'\r\n");
  EXPECT_TRUE(peer->closed());
  EXPECT_EQ(server->counters().stale_connections, 1U);
}

TEST_F(ServerTest, FirstPingMeasuresTheRoundTrip) {
  start();
  auto peer = client();
  sim.advance(1900ms);
  EXPECT_EQ(take(*peer), "");
  sim.advance(600ms);  // 2 s and up to a fifth
  EXPECT_EQ(take(*peer), "PING\r\n");
  sim.advance(3ms);
  ask(*peer, "PONG\r\n");
  EXPECT_GE(server->connections().at(0).rtt, 3ms);
  // From now on only silence brings PINGs.
  sim.advance(119s);
  ask(*peer, "PUB a 0\r\n\r\n");
  sim.advance(119s);
  EXPECT_EQ(take(*peer), "");
  sim.advance(3s);
  EXPECT_EQ(take(*peer), "PING\r\n");
}

TEST_F(ServerTest, AnsweredPingsKeepTheConnection) {
  start({.ping_interval = 1s, .ping_max = 2});
  auto peer = client();
  for (int i = 0; i < 20; ++i) {
    sim.advance(1200ms);
    if (take(*peer).find("PING") != std::string::npos) ask(*peer, "PONG\r\n");
  }
  EXPECT_FALSE(peer->closed());
}

TEST_F(ServerTest, AStuckConsumerHoldsNobodyUpAndIsCutAtMaxPending) {
  start({.max_payload = 100'000, .max_pending = 1'000'000});
  auto slow = client();
  ask(*slow, "SUB a 1\r\n");
  slow->pause_reading();
  auto pub = client();
  for (int i = 0; i < 20; ++i) pub->send(publish_of("a", 100'000));
  sim.run_until_idle();
  EXPECT_TRUE(server->connection(2)->reading_paused());
  sim.advance(400ms);
  EXPECT_TRUE(server->connection(2)->reading_paused());
  sim.advance(200ms);
  EXPECT_FALSE(server->connection(2)->reading_paused());
  EXPECT_EQ(server->counters().slow_consumers_pending, 1U);
  EXPECT_EQ(server->closed_connections().at(0).reason, CloseReason::kSlowConsumerPendingBytes);
  EXPECT_GT(server->counters().read_pauses, 0U);
  EXPECT_TRUE(ask(*pub, "PING\r\n").ends_with("PONG\r\n"));
}

TEST_F(ServerTest, WithoutProducerStallACongestedSubscriberMissesMessages) {
  start({.max_payload = 100'000, .max_pending = 1'000'000, .no_fast_producer_stall = true});
  auto slow = client();
  ask(*slow, "SUB a 1\r\n");
  slow->pause_reading();
  auto pub = client();
  for (int i = 0; i < 50; ++i) pub->send(publish_of("a", 100'000));
  EXPECT_TRUE(ask(*pub, "PING\r\n").ends_with("PONG\r\n"));
  EXPECT_FALSE(server->connection(2)->reading_paused());
  EXPECT_GT(server->counters().dropped_messages, 0U);
  EXPECT_EQ(server->counters().slow_consumers_pending, 0U);
}

TEST_F(ServerTest, LameDuckClosesOneAfterTheOther) {
  start();
  std::vector<std::unique_ptr<SimPeer>> peers;
  for (int i = 0; i < 10; ++i) {
    peers.push_back(connect());
    ask(*peers.back(), "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
  }
  bool done = false;
  server->drain({10s, 100s}, [&] { done = true; });
  EXPECT_NE(take(*peers[0]).find("\"ldm\":true"), std::string::npos);
  sim.advance(9s);
  EXPECT_EQ(server->connection_count(), 10U);
  sim.advance(1s);
  EXPECT_EQ(server->connection_count(), 9U) << "the first goes when the grace is over";
  for (size_t left = 9; left > 0; --left) {
    EXPECT_EQ(server->connection_count(), left);
    while (server->connection_count() == left) sim.advance(10ms);
    EXPECT_EQ(server->connection_count(), left - 1);
  }
  sim.run_until_idle();
  EXPECT_TRUE(done);
}

TEST_F(ServerTest, LameDuckOfManyStaysWithinItsTime) {
  start();
  std::vector<std::unique_ptr<SimPeer>> peers;
  for (int i = 0; i < 300; ++i) peers.push_back(client());
  bool done = false;
  server->drain({0s, 100ms}, [&] { done = true; });
  sim.advance(100ms);
  sim.run_until_idle();
  EXPECT_TRUE(done);
}

TEST_F(ServerTest, AHurriedDrainEndsAtOnce) {
  start();
  auto peer = client();
  bool done = false;
  server->drain({10s, 100s}, [&] { done = true; });
  sim.advance(1s);
  EXPECT_FALSE(done);
  server->hurry_drain();
  sim.run_until_idle();
  EXPECT_TRUE(done);
  EXPECT_TRUE(peer->closed());
  server->hurry_drain();  // nothing is left
}

TEST_F(ServerTest, InfoTellsTheAdvertisedAddress) {
  start({.client_advertise = "example.net:4333"});
  auto peer = connect();
  EXPECT_NE(last_info.find("\"host\":\"example.net\",\"port\":4333"), std::string::npos) << last_info;
}

TEST_F(ServerTest, APublisherWaitsForACongestedSubscriber) {
  start({.max_payload = 100'000, .max_pending = 1'000'000});
  sim.net().options().small_chunk_percent = 0;
  auto slow = client();
  ask(*slow, "SUB a 1\r\n");
  slow->pause_reading();
  auto pub = client();
  for (int i = 0; i < 30; ++i) {
    pub->send(publish_of("a", 100'000));
    sim.run_until_idle();
  }
  // 3 MB were sent, far more than may wait: nobody was cut, the publisher was not read.
  EXPECT_TRUE(server->connection(2)->reading_paused());
  EXPECT_TRUE(server->connection(1)->congested());
  EXPECT_TRUE(server->bus().congested("a", ""));
  EXPECT_FALSE(server->bus().congested("b", ""));
  EXPECT_LT(server->connections().at(0).pending_bytes, 1'000'000U);
  size_t got = 0;
  slow->resume_reading();
  for (int i = 0; i < 100; ++i) {
    sim.advance(20ms);
    got += slow->take_received().size();
  }
  EXPECT_EQ(got, 30U * (publish_of("a", 100'000).size() + 2));  // "MSG a 1 100000"
  EXPECT_FALSE(server->connection(2)->reading_paused());
  EXPECT_FALSE(server->bus().congested("a", ""));
  EXPECT_EQ(server->connection_count(), 2U);
}

TEST_F(ServerTest, WriteDeadlineCutsWhoReadsNothing) {
  start({.max_payload = 100'000, .max_pending = 4'000'000, .write_deadline = 2s});
  auto slow = client();
  ask(*slow, "SUB a 1\r\n");
  slow->pause_reading();
  auto pub = client();
  for (int i = 0; i < 10; ++i) pub->send(publish_of("a", 100'000));
  sim.advance(1900ms);
  EXPECT_EQ(server->connection_count(), 2U);
  sim.advance(200ms);
  EXPECT_EQ(server->connection_count(), 1U);
  EXPECT_EQ(server->counters().slow_consumers_deadline, 1U);
  EXPECT_EQ(server->closed_connections().at(0).reason, CloseReason::kSlowConsumerWriteDeadline);
}

TEST_F(ServerTest, ASlowReaderThatMovesIsNotCut) {
  start({.max_payload = 100'000, .max_pending = 4'000'000, .write_deadline = 2s});
  auto slow = client();
  ask(*slow, "SUB a 1\r\n");
  slow->pause_reading();
  auto pub = client();
  for (int i = 0; i < 10; ++i) pub->send(publish_of("a", 100'000));
  for (int i = 0; i < 10; ++i) {
    sim.advance(1500ms);
    slow->resume_reading();
    sim.run_until_idle();
    slow->pause_reading();
    pub->send(publish_of("a", 100'000));
  }
  EXPECT_EQ(server->counters().slow_consumers_deadline, 0U);
}

TEST_F(ServerTest, ClosedPeersLeaveNothingBehind) {
  start();
  auto peer = client();
  ask(*peer, "SUB a 1\r\nSUB b q 2\r\n");
  EXPECT_EQ(server->subscription_count(), own_subscriptions + 2);
  peer->close();
  sim.run_until_idle();
  EXPECT_EQ(server->subscription_count(), own_subscriptions);
  EXPECT_EQ(server->connection_count(), 0U);
  EXPECT_EQ(server->closed_connections().at(0).reason, CloseReason::kClientClosed);
}

TEST_F(ServerTest, DrainTellsAndCloses) {
  start();
  auto peer = connect();
  ask(*peer, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
  auto old = client();
  bool drained = false;
  server->drain(1s, [&] { drained = true; });
  const std::string told = take(*peer);
  EXPECT_TRUE(told.starts_with("INFO {")) << told;
  EXPECT_NE(told.find("\"ldm\":true"), std::string::npos);
  EXPECT_EQ(take(*old), "");
  EXPECT_EQ(ask(*peer, "PING\r\n"), "PONG\r\n");
  SimPeer late(sim.network(), "127.0.0.1", 4222);
  sim.run_until_idle();
  EXPECT_FALSE(late.connected());
  sim.advance(1100ms);
  EXPECT_TRUE(drained);
  EXPECT_TRUE(peer->closed());
  EXPECT_TRUE(old->closed());
  EXPECT_EQ(server->closed_connections().at(0).reason, CloseReason::kServerShutdown);
}

TEST_F(ServerTest, CountersAndFigures) {
  start();
  auto peer = client(",\"name\":\"n\",\"lang\":\"l\",\"version\":\"1.2\"");
  ask(*peer, "SUB a 1\r\nSUB a 2\r\nPUB a 5\r\nhello\r\n");
  const ConnectionInfo info = server->connections().at(0);
  EXPECT_EQ(info.cid, 1U);
  EXPECT_EQ(info.name, "n");
  EXPECT_EQ(info.lang, "l");
  EXPECT_EQ(info.version, "1.2");
  EXPECT_EQ(info.in_msgs, 1U);
  EXPECT_EQ(info.in_bytes, 5U);
  EXPECT_EQ(info.out_msgs, 2U);
  EXPECT_EQ(info.out_bytes, 10U);
  EXPECT_EQ(info.subscriptions, 2U);
  EXPECT_EQ(server->counters().out_msgs, 2U);
  EXPECT_EQ(server->connection(1)->subscribed_subjects().size(), 2U);
}

/// Any bytes in any pieces: no crash, and whoever is closed is gone.
TEST_F(ServerTest, GarbageFromManyClients) {
  start({.max_payload = 64, .max_control_line = 128});
  SCOPED_TRACE(sim.seed());
  const std::vector<std::string> words = {
      "PUB a 2\r\nhi\r\n", "SUB a 1\r\n", "SUB > q 2\r\n", "UNSUB 1 2\r\n", "UNSUB 2\r\n",
      "PING\r\n", "PONG\r\n", "CONNECT {}\r\n",
      "CONNECT {\"headers\":true,\"no_responders\":true,\"verbose\":false}\r\n",
      "PUB b a 0\r\n\r\n",
      // From here on fatal, or nearly so.
      "HPUB a 4 6\r\nabcdef\r\n", "PUB a 70\r\n", "\r\n", "CONNECT {\r\n", "SUB a..b 3\r\n", "X"};
  std::vector<std::unique_ptr<SimPeer>> peers;
  for (int step = 0; step < 2000; ++step) {
    if (peers.size() < 8) peers.push_back(connect());
    auto& peer = peers[sim.random().below(peers.size())];
    if (peer->closed()) {
      peer = connect();
      continue;
    }
    // Mostly harmless ones.
    const size_t limit = sim.random().below(20) == 0 ? words.size() : 10;
    peer->send(words[sim.random().below(limit)]);
    if (sim.random().below(3) == 0) sim.run_until_idle();
    if (sim.random().below(100) == 0) peer->close();
    if (peer->received().size() > 100'000) peer->take_received();
  }
  sim.run_until_idle();
  peers.clear();
  sim.run_until_idle();
  EXPECT_EQ(server->connection_count(), 0U);
  EXPECT_EQ(server->subscription_count(), own_subscriptions);
}

}  // namespace
}  // namespace sluice
