#include "compression/compressed_transport.h"

#include <gtest/gtest.h>

#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// One end: keeps what came, answers when told to, pauses after so many bytes.
struct End : TransportHandler {
  std::unique_ptr<CompressedTransport> transport;
  std::string got;
  std::optional<Error> closed;
  size_t pause_each = 0;  ///< bytes; 0 = never
  std::function<void(std::string_view)> on_read;

  void send(std::string text) { transport->write(text); }
  void on_bytes(std::string_view bytes) override {
    got += bytes;
    if (on_read) on_read(bytes);
    if (pause_each != 0 && bytes.size() >= pause_each) transport->pause_reading();
  }
  void on_drained() override {}
  void on_closed(const Error& why) override { closed = why; }
};

struct CompressedTransportTest : testing::Test {
  explicit CompressedTransportTest(uint64_t seed = 1) : sim(seed) {
    auto [a, b] = sim.net().make_pair("client", "server");
    client.transport = std::make_unique<CompressedTransport>(std::move(a), sim.env().executor);
    server.transport = std::make_unique<CompressedTransport>(std::move(b), world);
    client.transport->start(client);
    server.transport->start(server);
  }
  /// As a client does that was offered it.
  void agree() {
    client.send("CONNECT {}\r\n");
    client.transport->begin();
    client.send("PING\r\n");
    sim.run_until_idle();
  }

  sim::SimEnv sim;
  CompressionWorld world{.executor = sim.env().executor, .max_streams = 2};
  End client, server;
};

TEST_F(CompressedTransportTest, ClearBytesPassUntilAClientBegins) {
  server.send("INFO {}\r\n");
  client.send("CONNECT {}\r\nPUB a 1\r\n(\r\n");
  client.send("\n(still clear");
  sim.run_until_idle();
  EXPECT_EQ(client.got, "INFO {}\r\n");
  EXPECT_EQ(server.got, "CONNECT {}\r\nPUB a 1\r\n(\r\n\n(still clear");
  EXPECT_FALSE(server.transport->compressed());
  EXPECT_EQ(world.accepted, 0u);
}

TEST_F(CompressedTransportTest, BothDirectionsAreCompressedFromTheFirstByteBehindConnect) {
  server.send("INFO {}\r\n");
  sim.run_until_idle();
  agree();
  ASSERT_TRUE(server.transport->compressed());
  const std::string message = "MSG a 1 20\r\n" + std::string(20, 'x') + "\r\n";
  std::string all;
  for (int i = 0; i < 200; ++i) {
    server.send(message);
    client.send(message);
    all += message;
  }
  sim.run_until_idle();
  EXPECT_EQ(server.got, "CONNECT {}\r\nPING\r\n" + all);
  EXPECT_EQ(client.got, "INFO {}\r\n" + all);
  const ByteFlow& flow = client.transport->flow();
  EXPECT_EQ(flow.sent, server.got.size());
  EXPECT_EQ(flow.received, client.got.size());
  EXPECT_LT(flow.sent_packed * 2, flow.sent);
  EXPECT_EQ(flow.received_packed, server.transport->flow().sent_packed);
  EXPECT_EQ(world.flow.sent, all.size());
}

TEST_F(CompressedTransportTest, ARefusalInClearIsReadBeforeTheStreamBegins) {
  client.send("CONNECT {}\r\n");
  client.transport->begin();
  client.send("PING\r\n");
  server.on_read = [&](std::string_view) {
    server.send("-ERR 'Authorization Violation'\r\n");
    server.transport->close(true);
  };
  sim.run_until_idle();
  EXPECT_EQ(client.got, "-ERR 'Authorization Violation'\r\n");
  EXPECT_TRUE(client.closed);
}

TEST_F(CompressedTransportTest, MoreStreamsThanMayBeAreTold) {
  world.streams = 2;
  agree();
  EXPECT_EQ(client.got, "-ERR 'too many compressed connections'\r\n");
  EXPECT_TRUE(client.closed && server.closed);
  EXPECT_EQ(world.crowded_out, 1u);
  world.streams = 0;
}

TEST_F(CompressedTransportTest, RubbishEndsTheStream) {
  client.send("CONNECT {}\r\n(this is no frame at all\r\n");
  sim.run_until_idle();
  ASSERT_TRUE(server.closed);
  EXPECT_EQ(server.closed->code, Errc::kCorrupt);
  EXPECT_EQ(world.broken, 1u);
  server.transport.reset();
  EXPECT_EQ(world.streams, 0u);
}

TEST_F(CompressedTransportTest, WhoPausesIsNotFloodedByAFewBytes) {
  agree();
  server.pause_each = 1;
  client.send(std::string(10'000'000, 'x'));  // a kilobyte or two
  sim.run_until_idle();
  const size_t before = server.got.size();
  EXPECT_LT(before, 100'000u);
  server.transport->resume_reading();
  sim.run_until_idle();
  EXPECT_GT(server.got.size(), before);
  EXPECT_LT(server.got.size(), 200'000u);
  server.pause_each = 0;
  server.transport->resume_reading();
  sim.run_until_idle();
  EXPECT_EQ(server.got.size(), 10'000'018u);
}

TEST_F(CompressedTransportTest, WhatCameBeforeTheEndIsHandedOutBeforeIt) {
  agree();
  server.pause_each = 1;
  client.send(std::string(1'000'000, 'x'));
  client.transport->close(true);
  sim.run_until_idle();
  EXPECT_FALSE(server.closed);
  server.pause_each = 0;
  server.transport->resume_reading();
  sim.run_until_idle();
  EXPECT_EQ(server.got.size(), 1'000'018u);
  EXPECT_TRUE(server.closed);
}

TEST(CompressedTransportSeeds, AnyChunksAndPausesGiveTheSameBytes) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    sim::SimEnv sim(seed);
    sim.net().options().latency_high = 5ms;
    sim.net().options().small_chunk_percent = 70;
    CompressionWorld world{.executor = sim.env().executor, .max_streams = 1};
    auto [a, b] = sim.net().make_pair("client", "server");
    End ends[2];
    ends[0].transport = std::make_unique<CompressedTransport>(std::move(a), sim.env().executor);
    ends[1].transport = std::make_unique<CompressedTransport>(std::move(b), world);
    for (End& end : ends) end.transport->start(end);
    std::string sent[2] = {"CONNECT {}\r\n", ""};
    ends[0].send(sent[0]);
    ends[0].transport->begin();
    for (int step = 0; step < 200; ++step) {
      const size_t who = sim.random().below(2);
      // The server has nothing to say before it has read the client's first bytes, but for whole lines.
      std::string text(1 + sim.random().below(step % 40 == 0 ? 200'000 : 300), static_cast<char>('a' + sim.random().below(26)));
      text += "\r\n";
      sent[who] += text;
      ends[who].send(text);
      End& reader = ends[sim.random().below(2)];
      if (sim.random().below(4) == 0) reader.transport->pause_reading();
      if (sim.random().below(3) == 0) reader.transport->resume_reading();
      sim.advance(std::chrono::milliseconds(sim.random().below(4)));
    }
    for (End& end : ends) end.transport->resume_reading();
    ASSERT_TRUE(sim.settle());
    sim.run_until_idle();
    ASSERT_TRUE(ends[1].got == sent[0]) << ends[1].got.size() << " of " << sent[0].size();
    ASSERT_TRUE(ends[0].got == sent[1]) << ends[0].got.size() << " of " << sent[1].size();
    EXPECT_TRUE(ends[1].transport->compressed());
  }
}

}  // namespace
}  // namespace sluice
