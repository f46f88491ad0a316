// Files that nats-server 2.15.2 wrote: every message, header and removal as its API told them.
#include "archive/nats_block.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/base64.h"
#include "base/time_format.h"
#include "crypto/digest.h"
#include "test_paths.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

std::string file(const std::string& name) {
  std::ifstream in(std::string(SLUICE_FIXTURES) + "/archive/store/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
HighwayHash::Key key_of(const std::string& text) { return sha256(text); }

class NatsStore : public testing::TestWithParam<std::string> {};

TEST_P(NatsStore, EveryMessageIsAsTheServerTold) {
  const std::string stream = GetParam();
  const Json truth = Json::parse(file("truth.json"))[stream];
  struct Found {
    std::string subject, headers;
    WallNanos time;
    size_t size;
  };
  std::map<uint64_t, Found> found;
  std::set<uint64_t> removed;
  size_t blocks = 0;
  for (int number = 1;; ++number) {
    std::string bytes = file(stream + "/msgs/" + std::to_string(number) + ".blk");
    if (bytes.empty()) break;
    ++blocks;
    const auto block = unpack_nats_block(std::move(bytes));
    ASSERT_TRUE(block) << block.error().detail;
    NatsBlockReader reader(*block, key_of(stream + "-" + std::to_string(number)));
    while (true) {
      const auto record = reader.next();
      ASSERT_TRUE(record) << record.error().detail;
      if (!*record) break;
      const NatsRecord& r = **record;
      ASSERT_NE(r.kind, NatsRecordKind::kDamaged) << r.seq.value();
      if (r.kind == NatsRecordKind::kTombstone) removed.insert(r.seq.value());
      if (r.kind == NatsRecordKind::kMessage)
        found[r.seq.value()] = {std::string(r.subject), std::string(r.headers), r.time, r.payload.size()};
    }
  }
  EXPECT_EQ(blocks, stream == "PACKED" ? 2u : 1u);
  for (const uint64_t seq : removed) found.erase(seq);
  ASSERT_EQ(found.size(), truth["messages"].size());
  for (const Json& m : truth["messages"]) {
    const auto at = found.find(m["seq"].get<uint64_t>());
    ASSERT_NE(at, found.end()) << m["seq"];
    EXPECT_EQ(at->second.subject, m["subject"]);
    EXPECT_EQ(format_rfc3339(at->second.time), m["time"]);
    EXPECT_EQ(at->second.size, m["size"]);
    EXPECT_EQ(base64_encode(at->second.headers), m["hdrs"]);
  }
  const auto index = read_nats_stream_index(file(stream + "/msgs/index.db"));
  ASSERT_TRUE(index);
  EXPECT_EQ(index->messages, truth["state"]["messages"]);
  EXPECT_EQ(index->bytes, truth["state"]["bytes"]);
  EXPECT_EQ(index->first_seq, truth["state"]["first_seq"]);
  EXPECT_EQ(index->last_seq, truth["state"]["last_seq"]);
}

TEST_P(NatsStore, ConsumersStandWhereTheServerTold) {
  const std::string stream = GetParam();
  const Json info = Json::parse(file("truth.json"))[stream]["D"];
  const auto state = read_nats_consumer_state(file(stream + "/obs/D/o.dat"));
  ASSERT_TRUE(state) << state.error().detail;
  EXPECT_EQ(state->delivered_consumer, info["delivered"]["consumer_seq"]);
  EXPECT_EQ(state->delivered_stream, info["delivered"]["stream_seq"]);
  EXPECT_EQ(state->floor_consumer, info["ack_floor"]["consumer_seq"]);
  EXPECT_EQ(state->floor_stream, info["ack_floor"]["stream_seq"]);
  EXPECT_EQ(state->pending.size(), info["num_ack_pending"]);
  size_t redelivered = 0;
  for (const NatsPending& p : state->pending) redelivered += p.redeliveries > 0 ? 1 : 0;
  EXPECT_EQ(redelivered, info["num_redelivered"]);
}

TEST_P(NatsStore, MetaMatchesItsSum) {
  const std::string stream = GetParam();
  EXPECT_EQ(nats_checksum_hex(key_of(stream), file(stream + "/meta.inf")), file(stream + "/meta.sum"));
}

INSTANTIATE_TEST_SUITE_P(Streams, NatsStore, testing::Values("PLAIN", "PACKED"));

TEST(NatsBlock, AFlippedByteIsOneRecord) {
  const std::string good = file("PLAIN/msgs/1.blk");
  const HighwayHash::Key key = key_of("PLAIN-1");
  std::string bad = good;
  bad[60] = static_cast<char>(bad[60] ^ 1);  // in the payload of the first
  NatsBlockReader reader(bad, key);
  EXPECT_EQ((**reader.next()).kind, NatsRecordKind::kDamaged);
  size_t rest = 0;
  while (true) {
    const auto record = reader.next();
    ASSERT_TRUE(record);
    if (!*record) break;
    EXPECT_NE((**record).kind, NatsRecordKind::kDamaged);
    ++rest;
  }
  EXPECT_GT(rest, 100u);
  // Under another key (another stream, or encrypted) nothing passes.
  NatsBlockReader other(good, key_of("PLAIN-2"));
  EXPECT_EQ((**other.next()).kind, NatsRecordKind::kDamaged);
}

TEST(NatsBlock, GarbageNeverHurts) {
  const std::string good = file("PLAIN/msgs/1.blk").substr(0, 2000);
  const HighwayHash::Key key = key_of("PLAIN-1");
  uint32_t random = 12345;
  const auto next = [&random] { return random = random * 1664525 + 1013904223; };
  for (int round = 0; round < 3000; ++round) {
    std::string bad = good.substr(0, next() % good.size());
    for (int i = 0; i < 3 && !bad.empty(); ++i) bad[next() % bad.size()] = static_cast<char>(next() >> 24);
    NatsBlockReader reader(bad, key);
    for (auto record = reader.next(); record && *record; record = reader.next()) {
    }
    (void)read_nats_consumer_state(bad.substr(0, 40));
    (void)read_nats_consumer_state("\x16\x02" + bad.substr(0, 40));
    (void)read_nats_stream_index("\x0b\x04" + bad.substr(0, 20));
    (void)unpack_nats_block("cmp\x01" + bad);
  }
  EXPECT_EQ(unpack_nats_block("cmp\x02\x10" + std::string(20, 'x')).error().code, Errc::kUnsupported);
  EXPECT_FALSE(unpack_nats_block("cmp"));
}

}  // namespace
}  // namespace sluice
