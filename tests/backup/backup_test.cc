// Backups of a whole engine in the simulated world: out, in, and what goes wrong on the way.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "../node/node_world.h"
#include "archive/s2_stream.h"
#include "test_paths.h"

namespace sluice::test {
namespace {

std::string fixture(const std::string& name) {
  std::ifstream in(std::string(SLUICE_FIXTURES) + "/archive/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

class BackupTest : public testing::Test {
 protected:
  void SetUp() override {
    w.start();
    c = &w.client("c");
  }
  struct Taken {
    Json answer;
    std::string bytes;
    std::string status;
    size_t chunks = 0;
  };
  Taken take(std::string_view stream, std::string_view rest = "") {
    Taken out;
    const std::string inbox = fmt::format("deliver.{}", ++snapshots_);
    c->subscribe(inbox);
    out.answer = w.api(*c, fmt::format("STREAM.SNAPSHOT.{}", stream),
                       fmt::format(R"({{"deliver_subject":"{}"{}}})", inbox, rest));
    for (bool ended = false; !ended;) {
      EXPECT_TRUE(w.sim.run_until([&] { return c->waiting(inbox) > 0; }, 20s)) << "the snapshot stands still";
      const auto got = c->take(inbox);
      if (got.empty()) break;
      for (const Received& m : got) {
        ended = m.payload.empty();
        out.bytes += m.payload;
        if (ended) out.status = m.status();
        if (m.reply.empty()) continue;
        ++out.chunks;
        c->publish(m.reply, "");
      }
    }
    return out;
  }
  /// The last answer.
  Json give(std::string_view stream, const Json& request, std::string_view bytes, size_t chunk = 4096) {
    const Json opened = w.api(*c, fmt::format("STREAM.RESTORE.{}", stream), request.dump());
    if (opened.contains("error")) return opened;
    const std::string subject = opened["deliver_subject"];
    for (size_t at = 0; at < bytes.size(); at += chunk) {
      const Received answer = w.ask(*c, subject, bytes.substr(at, chunk));
      if (!answer.payload.empty()) return Json::parse(answer.payload);
    }
    return Json::parse(w.ask(*c, subject, "").payload);
  }
  static Json request_of(const Taken& taken, std::string_view name = "") {
    Json out{{"config", taken.answer["config"]}, {"state", taken.answer["state"]}};
    if (!name.empty()) out["config"]["name"] = name;
    return out;
  }
  std::string dump(std::string_view name) {
    std::string out;
    StreamStore& store = w.node->streams().find(name)->store();
    for (StreamSeq from(1);;) {
      const auto m = store.load_next(from, ">");
      if (!m) return out;
      out += fmt::format("{} {} {} {} {}\n", m->seq.value(), m->time, m->subject, m->headers, m->payload);
      from = m->seq.next();
    }
  }

  NodeWorld w;
  NodeClient* c = nullptr;
  int snapshots_ = 0;
};

TEST_F(BackupTest, AStreamComesBackWithItsConsumers) {
  w.make_stream(*c, "S", "s.>");
  for (int i = 0; i < 200; ++i)
    w.publish(*c, fmt::format("s.{}", i % 5), std::string(static_cast<size_t>(i) * 20, 'a'), i % 2 == 0 ? "NATS/1.0\r\nK: v\r\n\r\n" : "");
  w.api(*c, "STREAM.MSG.DELETE.S", R"({"seq":7})");
  w.make_consumer(*c, "S", "D", R"(,"filter_subject":"s.1")");
  const auto pulled = w.pull(*c, "S", "D", 4);
  ASSERT_EQ(pulled.size(), 4u);
  w.ack_sync(*c, pulled[0]);
  w.ack_sync(*c, pulled[2]);
  const std::string before = dump("S");
  const Json consumer = w.consumer_info(*c, "S", "D");
  const Taken taken = take("S", R"(,"chunk_size":1024)");
  EXPECT_EQ(taken.status, "204");
  EXPECT_GT(taken.chunks, 2u);
  w.api(*c, "STREAM.DELETE.S");
  const Json made = give("S", request_of(taken), taken.bytes);
  ASSERT_FALSE(made.contains("error")) << made.dump();
  EXPECT_EQ(made["type"], "io.nats.jetstream.api.v1.stream_create_response");
  EXPECT_EQ(made["state"]["last_seq"], 200);
  EXPECT_EQ(dump("S"), before);
  const Json after = w.consumer_info(*c, "S", "D");
  for (const char* key : {"num_pending", "num_ack_pending", "num_redelivered"}) EXPECT_EQ(after[key], consumer[key]) << key;
  EXPECT_EQ(after["delivered"]["stream_seq"], consumer["delivered"]["stream_seq"]);
  EXPECT_EQ(after["ack_floor"]["consumer_seq"], consumer["ack_floor"]["consumer_seq"]);
  w.restart(Crash::kKill);
  c = &w.client("c");
  EXPECT_EQ(dump("S"), before);
  EXPECT_EQ(w.consumer_info(*c, "S", "D")["num_ack_pending"], 2);
  EXPECT_EQ(w.publish(*c, "s.x", "next")["seq"], 201);
}

/// Clients with one inbox for all answers have interest in any subject of it, and subscribe to the delivery when they know it begins.
TEST_F(BackupTest, AListenerThatSubscribesAfterTheAnswerMissesNothing) {
  w.make_stream(*c, "S", "s.>");
  for (int i = 0; i < 20; ++i) w.publish(*c, "s.a", "x");
  c->subscribe("common.*");
  w.api(*c, "STREAM.SNAPSHOT.S", R"({"deliver_subject":"common.box"})");
  const auto begun = w.sim.env().clock.now();
  w.sim.run_for(100ms);
  auto& other = w.client("o");
  other.subscribe("common.box");
  std::string bytes;
  ASSERT_TRUE(w.sim.run_until([&] {
    for (const Received& m : other.take("common.box")) {
      bytes += m.payload;
      if (m.payload.empty()) return true;
    }
    return false;
  }, 20s));
  EXPECT_FALSE(bytes.empty());
  EXPECT_LT(w.sim.env().clock.now() - begun, 1s);
}

TEST_F(BackupTest, WhatTheReferenceSavedIsRestored) {
  const Json request = Json::parse(fixture("orders-v2.json"));
  const Json made = give("ORDERS", Json{{"config", request["config"]}, {"state", request["state"]}}, fixture("orders-v2.s2"), 500);
  ASSERT_FALSE(made.contains("error")) << made.dump();
  EXPECT_EQ(made["state"]["messages"], 38);
  EXPECT_EQ(made["state"]["bytes"], 169066);
  EXPECT_EQ(made["state"]["first_ts"], request["state"]["first_ts"]);
  EXPECT_EQ(made["state"]["num_deleted"], 3);
  const Json consumer = w.consumer_info(*c, "ORDERS", "D");
  EXPECT_EQ(consumer["delivered"]["consumer_seq"], 6);
  EXPECT_EQ(consumer["ack_floor"]["stream_seq"], 5);
  EXPECT_EQ(consumer["num_ack_pending"], 3);
  EXPECT_EQ(consumer["num_redelivered"], 1);
  EXPECT_EQ(consumer["num_pending"], 5);
}

// What servers before 2.15 send is a tar of their files; these are files that 2.15.2 wrote.
std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  for (const auto& [name, bytes] : files) {
    std::string header(512, '\0');
    const auto put = [&header](size_t at, std::string_view text) { header.replace(at, text.size(), text); };
    put(0, name);
    put(100, "0000600");
    put(124, fmt::format("{:011o}", bytes.size()));
    put(136, "00000000000");
    put(148, "        ");
    header[156] = '0';
    put(257, "ustar");
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    put(148, fmt::format("{:06o}", sum));
    header[154] = '\0';
    out += header + bytes;
    out.append((512 - bytes.size() % 512) % 512, '\0');
  }
  return out.append(1024, '\0');
}

TEST_F(BackupTest, BackupsOfOlderServersAreImported) {
  for (const std::string stream : {"PLAIN", "PACKED"}) {
    std::vector<std::pair<std::string, std::string>> files;
    std::vector<std::string> names{"meta.inf", "meta.sum", "msgs/1.blk"};
    if (stream == "PACKED") names.push_back("msgs/2.blk");
    for (const char* name : {"msgs/index.db", "obs/A/meta.inf", "obs/A/meta.sum", "obs/A/o.dat", "obs/D/meta.inf",
                             "obs/D/meta.sum", "obs/D/o.dat"})
      names.push_back(name);
    for (const std::string& name : names) files.emplace_back(name, fixture("store/" + stream + "/" + name));
    S2StreamWriter writer;
    writer.write(tar_of(files));
    writer.flush();
    const std::string bytes = writer.take();
    const Json truth = Json::parse(fixture("store/truth.json"))[stream];
    const Json request{{"config", {{"name", stream}, {"subjects", {stream == "PLAIN" ? "p.>" : "c.>"}}}},
                       {"state", truth["state"]}};
    EXPECT_EQ(give(stream, request, std::string_view(bytes).substr(0, bytes.size() - 300))["error"]["err_code"], 10062);
    const Json made = give(stream, request, bytes, 10'000);
    ASSERT_FALSE(made.contains("error")) << made.dump();
    for (const char* key : {"messages", "bytes", "first_seq", "last_seq", "num_deleted", "first_ts"})
      EXPECT_EQ(made["state"][key], truth["state"][key]) << stream << " " << key;
    const Json consumer = w.consumer_info(*c, stream, "D");
    for (const char* key : {"num_pending", "num_ack_pending", "num_redelivered"})
      EXPECT_EQ(consumer[key], truth["D"][key]) << stream << " " << key;
  }
}

TEST_F(BackupTest, EmptyAndMemoryStreams) {
  w.make_stream(*c, "E", "e");
  w.publish(*c, "e", "x");
  w.api(*c, "STREAM.PURGE.E");
  const Taken empty = take("E");
  EXPECT_EQ(empty.status, "");  // no full chunk, no status
  const Json made = give("E2", request_of(empty, "E2"), empty.bytes);
  EXPECT_EQ(made["error"]["err_code"], 10065) << made.dump();
  w.api(*c, "STREAM.DELETE.E");
  const Json back = give("E2", request_of(empty, "E2"), empty.bytes);
  EXPECT_EQ(back["state"]["last_seq"], 1) << back.dump();
  EXPECT_EQ(w.publish(*c, "e", "y")["seq"], 2);
  w.make_stream(*c, "M", "m", R"(,"storage":"memory")");
  w.publish(*c, "m", "x");
  const Taken memory = take("M", R"(,"no_consumers":true)");
  w.api(*c, "STREAM.DELETE.M");
  EXPECT_EQ(give("M", request_of(memory), memory.bytes)["state"]["messages"], 1);
}

TEST_F(BackupTest, NobodyListens) {
  w.make_stream(*c, "S", "s");
  w.publish(*c, "s", std::string(3000, 'x'));
  c->subscribe("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.S");
  w.api(*c, "STREAM.SNAPSHOT.S", R"({"deliver_subject":"nobody"})");
  w.sim.advance(3s);
  const auto told = c->take("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.S");
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(Json::parse(told[0].payload)["error"], "No Interest");
}

TEST_F(BackupTest, NobodyAnswers) {
  w.make_stream(*c, "S", "s");
  std::string noise;
  for (uint32_t i = 0; i < 40'000; ++i) noise.push_back(static_cast<char>(i * 2654435761u >> 24));
  w.publish(*c, "s", noise);
  c->subscribe("deliver");
  w.api(*c, "STREAM.SNAPSHOT.S", R"({"deliver_subject":"deliver","chunk_size":1024,"window_size":4096})");
  w.sim.advance(2s);
  EXPECT_EQ(c->take("deliver").size(), 4u);  // the window
  w.sim.advance(4s);
  const auto end = c->take("deliver");
  ASSERT_EQ(end.size(), 1u);
  EXPECT_EQ(end[0].status(), "408 No Flow Response");
}

TEST_F(BackupTest, ADamagedBackupLeavesNothing) {
  w.make_stream(*c, "S", "s");
  for (int i = 0; i < 50; ++i) w.publish(*c, "s", std::string(100, static_cast<char>('a' + i % 20)));
  const Taken taken = take("S");
  const std::string before = dump("S");
  w.api(*c, "STREAM.DELETE.S");
  const auto failed = [&](std::string_view bytes) {
    Json answer = give("S", request_of(taken), bytes, 100'000);
    EXPECT_EQ(answer["error"]["err_code"], 10062) << answer.dump();
    EXPECT_EQ(w.node->streams().find("S"), nullptr);
  };
  failed("");
  failed("this is no archive at all");
  failed(std::string_view(taken.bytes).substr(0, taken.bytes.size() / 2));
  failed(std::string_view(taken.bytes).substr(0, taken.bytes.size() - 1));
  failed(taken.bytes + "more");
  for (size_t at = 0; at < taken.bytes.size(); at += 37) {
    std::string flipped = taken.bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    // A copy from another place may give the same bytes: then nothing was damaged.
    const Json answer = give("S", request_of(taken), flipped, 100'000);
    if (answer.contains("error")) {
      EXPECT_EQ(answer["error"]["err_code"], 10062) << answer.dump();
      EXPECT_EQ(w.node->streams().find("S"), nullptr);
    } else {
      EXPECT_EQ(dump("S"), before) << "byte " << at;
      w.api(*c, "STREAM.DELETE.S");
    }
  }
  EXPECT_EQ(give("S", request_of(taken), taken.bytes)["state"]["messages"], 50);
}

TEST_F(BackupTest, SilenceAndCrashesLeaveNothing) {
  w.make_stream(*c, "S", "s");
  for (int i = 0; i < 50; ++i) w.publish(*c, "s", fmt::format("{}", i * 7919));
  const Taken taken = take("S");
  w.api(*c, "STREAM.DELETE.S");
  const auto begin = [&] {
    const Json opened = w.api(*c, "STREAM.RESTORE.S", request_of(taken).dump());
    const std::string subject = opened["deliver_subject"];
    EXPECT_EQ(w.ask(*c, subject, taken.bytes.substr(0, taken.bytes.size() - 10)).payload, "");
    return subject;
  };
  begin();
  EXPECT_EQ(w.api(*c, "STREAM.RESTORE.S", request_of(taken).dump())["error"]["err_code"], 10130);
  w.sim.advance(6s);
  EXPECT_EQ(w.node->streams().find("S"), nullptr);
  const std::string subject = begin();
  w.restart(Crash::kKill);
  c = &w.client("c");
  EXPECT_EQ(w.node->streams().find("S"), nullptr);
  EXPECT_EQ(w.ask(*c, subject, "").status(), "503");
  EXPECT_EQ(give("S", request_of(taken), taken.bytes)["state"]["messages"], 50);
}

TEST_F(BackupTest, ABombIsCutByTheLimits) {
  w.make_stream(*c, "S", "s");
  w.publish(*c, "s", std::string(900'000, 'a'));
  const Taken taken = take("S");
  EXPECT_LT(taken.bytes.size(), 100'000u);
  w.api(*c, "STREAM.DELETE.S");
  Json request = request_of(taken);
  const Json made = give("S", request, taken.bytes);
  EXPECT_EQ(made["state"]["messages"], 1) << made.dump();
}

}  // namespace
}  // namespace sluice::test
