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

TEST_F(CompressedTransportTest, AWideRoadCarriesBytesAsTheyAre) {
  client.transport->adapt(sim.env().clock);
  agree();
  const std::string part = std::string(1 << 20, 'x') + "\r\n";
  std::string sent = server.got;
  const auto carry = [&] {
    const uint64_t before = client.transport->flow().sent_packed;
    client.send(part);
    sent += part;
    sim.run_until_idle();
    sim.advance(10ms);
    return client.transport->flow().sent_packed - before;
  };
  EXPECT_LT(carry(), part.size() / 100) << "before the server has said a word in a frame";
  server.send("PONG\r\n");
  sim.run_until_idle();
  EXPECT_LT(carry(), part.size() / 100);
  for (int i = 0; i < 40; ++i) (void)carry();
  EXPECT_GT(carry(), part.size());
  sim.advance(10s);
  for (int i = 0; i < 3; ++i) (void)carry();
  EXPECT_LT(carry(), part.size() / 100) << "little goes out now";
  EXPECT_EQ(server.got, sent);
  EXPECT_FALSE(server.closed);
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

// -- dictionaries

/// Connections of one client to one server, one after the other.
struct DictionaryTest : testing::Test {
  struct Pair {
    End client, server;
  };
  std::unique_ptr<Pair> connect(Dictionaries* dictionaries) {
    auto pair = std::make_unique<Pair>();
    auto [a, b] = sim.net().make_pair("client", "server");
    pair->client.transport = std::make_unique<CompressedTransport>(std::move(a), sim.env().executor);
    pair->server.transport = std::make_unique<CompressedTransport>(std::move(b), world);
    pair->client.transport->start(pair->client);
    pair->server.transport->start(pair->server);
    pair->client.send("CONNECT {}\r\n");
    pair->client.transport->begin(dictionaries);
    pair->client.send("PING\r\n");
    pair->server.on_read = [server = &pair->server](std::string_view bytes) {
      if (bytes == "PING\r\n") server->send("PONG\r\n");
    };
    sim.run_until_idle();
    return pair;
  }
  /// Some 40 kinds of bodies, each with a number of its own, under 2,000 subjects.
  std::string messages(size_t bytes) {
    while (kinds.size() < 40) {
      std::string body;
      for (int i = 0; i < 250; ++i) body += static_cast<char>('a' + sim.random().below(26));
      kinds.push_back(body);
    }
    std::string out;
    while (out.size() < bytes) {
      const std::string body = kinds[sim.random().below(kinds.size())] + std::to_string(sim.random().below(100'000));
      out += "PUB choria.node.node" + std::to_string(sim.random().below(2000)) + ".registration _INBOX.q1w2e3r4t5." + std::to_string(++count) +
             " " + std::to_string(body.size()) + "\r\n" + body + "\r\n";
    }
    return out;
  }
  /// What 4 KiB of messages, one write each 500 bytes, cost on the wire.
  uint64_t cost(End& from) {
    const std::string text = messages(4096);
    const uint64_t before = from.transport->flow().sent_packed;
    for (size_t at = 0; at < text.size(); at += 500) from.send(text.substr(at, 500));
    sim.run_until_idle();
    return from.transport->flow().sent_packed - before;
  }

  sim::SimEnv sim{1};
  CompressionWorld world{.executor = sim.env().executor, .max_streams = 8};
  uint64_t count = 0;
  std::vector<std::string> kinds;
};

TEST_F(DictionaryTest, TheNextConnectionBeginsWithWhatTheLastOneCarried) {
  Dictionaries own(6);
  auto first = connect(&own);
  EXPECT_FALSE(first->client.transport->dictionary(FlowDirection::kToServer));
  const uint64_t cold_up = cost(first->client), cold_down = cost(first->server);
  std::string up = messages(300'000), down = messages(40'000);
  first->client.send(up);
  first->server.send(down);
  sim.run_until_idle();
  first.reset();
  auto second = connect(&own);
  ASSERT_TRUE(second->client.transport->dictionary(FlowDirection::kToServer));
  ASSERT_TRUE(second->client.transport->dictionary(FlowDirection::kToClient));
  EXPECT_EQ(second->client.transport->dictionary(FlowDirection::kToServer)->content.size(), kMaxDictionary_bytes);
  EXPECT_EQ(second->client.transport->dictionary(FlowDirection::kToClient)->content.size(), 32'768u);
  EXPECT_EQ(second->server.got, "CONNECT {}\r\nPING\r\n");
  EXPECT_EQ(second->client.got, "PONG\r\n");
  EXPECT_LT(cost(second->client) * 2, cold_up);
  EXPECT_LT(cost(second->server) * 2, cold_down);
  up = messages(200'000);
  down = messages(200'000);
  second->client.send(up);
  second->server.send(down);
  sim.run_until_idle();
  EXPECT_TRUE(second->server.got.ends_with(up));
  EXPECT_TRUE(second->client.got.ends_with(down));
  EXPECT_EQ(world.agreed, 1u);
  EXPECT_EQ(world.offered, 2u);
}

TEST_F(DictionaryTest, WhatOneEndHasLostIsNotUsed) {
  Dictionaries own(6);
  auto first = connect(&own);
  first->client.send(messages(200'000));
  sim.run_until_idle();
  first.reset();
  for (const DictionaryId& id : own.best(FlowDirection::kToServer, 6)) world.dictionaries.remove(FlowDirection::kToServer, id);
  auto second = connect(&own);
  EXPECT_FALSE(second->client.transport->dictionary(FlowDirection::kToServer));
  const std::string text = messages(50'000);
  second->client.send(text);
  sim.run_until_idle();
  EXPECT_TRUE(second->server.got.ends_with(text));
  Dictionaries none(6);
  auto third = connect(&none);
  EXPECT_FALSE(third->client.transport->dictionary(FlowDirection::kToServer));
  auto older = connect(nullptr);  // knows no dictionaries
  older->client.send(text);
  sim.run_until_idle();
  EXPECT_TRUE(older->server.got.ends_with(text));
  EXPECT_EQ(older->client.got, "PONG\r\n");
}

TEST_F(DictionaryTest, WhoReadsLessThanWasSentStillSharesAnEarlierCut) {
  Dictionaries own(6);
  auto first = connect(&own);
  first->server.pause_each = 1;
  first->client.send(messages(100'000));
  for (int i = 0; i < 2; ++i) {
    sim.run_until_idle();
    first->server.transport->resume_reading();
  }
  sim.run_until_idle();
  EXPECT_LT(first->server.got.size(), 100'000u);
  EXPECT_GT(first->server.got.size(), 32'768u);
  first.reset();
  EXPECT_TRUE(connect(&own)->client.transport->dictionary(FlowDirection::kToServer));
}

TEST_F(DictionaryTest, HostileWordsEndTheConnectionBeforeTheyTakeMemory) {
  const std::string head = "\x5f\x2a\x4d\x18";
  const auto ends = [&](const std::string& bytes) {
    Pair pair;
    auto [a, b] = sim.net().make_pair("client", "server");
    pair.server.transport = std::make_unique<CompressedTransport>(std::move(b), world);
    pair.server.transport->start(pair.server);
    struct Raw : TransportHandler {
      void on_bytes(std::string_view) override {}
      void on_drained() override {}
      void on_closed(const Error&) override {}
    } raw;
    a->start(raw);
    std::string all = "CONNECT {}\r\n" + bytes;
    a->write(all);
    sim.run_until_idle();
    return pair.server.closed && pair.server.closed->code == Errc::kCorrupt;
  };
  EXPECT_TRUE(ends(head + "\xff\xff\xff\xff"));
  EXPECT_TRUE(ends(head + std::string("\x02\0\0\0\x07\0", 6))) << "more ids than may be";
  EXPECT_TRUE(ends(head + std::string("\x02\0\0\0\x01\0", 6))) << "an id that is not there";
  EXPECT_TRUE(ends("\x5f no frame"));
  EXPECT_EQ(world.streams, 0u);
}

TEST_F(DictionaryTest, AFolderKeepsThemAndWhatIsDamagedIsNotBelieved) {
  auto& disk = sim.env().disk;
  const std::string content = messages(20'000);
  {
    Dictionaries own(2, disk, sim.env().disk_workers, "/state/zstd/copy");
    own.add(FlowDirection::kToServer, content);
    own.add(FlowDirection::kToServer, content + "2");
    own.add(FlowDirection::kToServer, content + "3");
    own.add(FlowDirection::kToClient, "acks");
    sim.run_until_idle();
    EXPECT_EQ(own.count(), 3u);
  }
  {
    Dictionaries own(2, disk, sim.env().disk_workers, "/state/zstd/copy");
    EXPECT_EQ(own.count(), 3u);
    EXPECT_FALSE(own.find(FlowDirection::kToServer, dictionary_id(content))) << "the oldest had to go";
    EXPECT_TRUE(own.find(FlowDirection::kToServer, dictionary_id(content + "3")));
    EXPECT_EQ(own.disk_errors(), 0u);
  }
  const auto names = disk.list("/state/zstd/copy");
  ASSERT_EQ(names->size(), 3u);
  auto file = disk.open("/state/zstd/copy/" + names->back(), OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->write_at(5, std::as_bytes(std::span("!", 1))));
  Dictionaries own(2, disk, sim.env().disk_workers, "/state/zstd/copy");
  EXPECT_EQ(own.count(), 2u);
  sim.run_until_idle();
  EXPECT_EQ(disk.list("/state/zstd/copy")->size(), 2u);
}

TEST(DictionaryCutter, CutsBeforeEachPowerOfTwoHoweverTheBytesCome) {
  std::string all(1'100'000, '\0');
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i * 2654435761U >> 24);
  for (const size_t step : {1'100'000u, 4096u, 333u}) {
    std::vector<std::string> cuts;
    DictionaryCutter cutter([&](std::string content) { cuts.push_back(std::move(content)); });
    for (size_t at = 0; at < all.size(); at += step) cutter.take(std::string_view(all).substr(at, step));
    ASSERT_EQ(cuts.size(), 7u);
    for (size_t i = 0; i < cuts.size(); ++i) {
      const size_t end = kFirstDictionaryCut << i, size = std::min(end, kMaxDictionary_bytes);
      EXPECT_EQ(cuts[i], all.substr(end - size, size)) << i;
    }
  }
}

TEST(CompressedTransportSeeds, AnyChunksAndPausesGiveTheSameBytes) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    sim::SimEnv sim(seed);
    sim.net().options().latency_high = 5ms;
    sim.net().options().small_chunk_percent = 70;
    CompressionWorld world{.executor = sim.env().executor, .max_streams = 1};
    Dictionaries dictionaries(6);
    const std::string shared(30'000, 'k');
    for (const FlowDirection direction : {FlowDirection::kToServer, FlowDirection::kToClient}) {
      dictionaries.add(direction, shared + std::to_string(seed % 2));
      world.dictionaries.add(direction, shared + "1");
    }
    auto [a, b] = sim.net().make_pair("client", "server");
    End ends[2];
    ends[0].transport = std::make_unique<CompressedTransport>(std::move(a), sim.env().executor);
    ends[1].transport = std::make_unique<CompressedTransport>(std::move(b), world);
    for (End& end : ends) end.transport->start(end);
    std::string sent[2] = {"CONNECT {}\r\n", ""};
    ends[0].send(sent[0]);
    ends[0].transport->begin(seed % 3 == 0 ? nullptr : &dictionaries);
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
