#include "store/message_run.h"

#include <gtest/gtest.h>

#include <map>

#include "store/packed.h"

namespace sluice::format {
namespace {

constexpr uint64_t kSeed = 77;

struct Message {
  uint64_t seq;
  WallNanos time;
  std::string subject, headers, payload, msg_id;
};

Message message(uint64_t i) {
  return {1000 + i * (i % 5 == 0 ? 3 : 1) + i * i, static_cast<WallNanos>(5000 + i * 7) - static_cast<WallNanos>(i % 3) * 100000,
          "orders." + std::to_string(i % 4), i % 6 == 0 ? "NATS/1.0\r\nA: b\r\n\r\n" : "", std::string(20 + i * 13 % 90, static_cast<char>('a' + i % 26)),
          i % 7 == 0 ? "id-" + std::to_string(i) : ""};
}

Record record(const Message& m) {
  Record r;
  r.type = RecordType::kMessage;
  r.stream = 9;
  r.seq = m.seq;
  r.time = m.time;
  r.subject = m.subject;
  r.headers = m.headers;
  r.payload = m.payload;
  r.msg_id = m.msg_id;
  return r;
}

/// As many messages as have room, and the run's bytes.
std::pair<std::map<uint64_t, Message>, std::vector<std::byte>> make_run(size_t room = kBlock) {
  std::map<uint64_t, Message> messages;
  RunBuilder run(room, kSeed, nullptr);
  for (uint64_t i = 0;; ++i) {
    const Message m = message(i);
    if (!run.add(record(m))) break;
    messages.emplace(m.seq, m);
  }
  EXPECT_EQ(run.count(), messages.size());
  return {messages, run.finish()};
}

/// The sequences found; each message is checked to be as it was written.
std::vector<uint64_t> check(const std::map<uint64_t, Message>& written, const std::vector<std::byte>& records) {
  std::vector<uint64_t> found;
  each_in_run(records, [&](const Record& r, std::span<const std::byte>) {
    const auto m = written.find(r.seq);
    ASSERT_NE(m, written.end()) << r.seq;
    EXPECT_EQ(r.stream, 9u);
    EXPECT_EQ(r.type, RecordType::kMessage);
    EXPECT_EQ(r.time, m->second.time);
    EXPECT_EQ(r.subject, m->second.subject);
    EXPECT_EQ(r.headers, m->second.headers);
    EXPECT_EQ(r.payload, m->second.payload);
    EXPECT_EQ(r.msg_id, m->second.msg_id);
    found.push_back(r.seq);
  });
  return found;
}

TEST(MessageRun, HoldsWhatWasPutIn) {
  const auto [messages, bytes] = make_run();
  EXPECT_LE(bytes.size(), kBlock);
  EXPECT_GT(messages.size(), 30u);
  const auto run = decode_record(bytes, kSeed);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->type, RecordType::kRun);
  const auto records = unpack_run(*run);
  ASSERT_TRUE(records);
  EXPECT_EQ(check(messages, *records).size(), messages.size());
  EXPECT_EQ(salvage_run(bytes, kSeed), *records);
  EXPECT_TRUE(salvage_run(bytes, kSeed + 1).empty()) << "of another file";
}

TEST(MessageRun, ExtremesOfSequenceAndTime) {
  RunBuilder run(kBlock, kSeed, nullptr);
  std::map<uint64_t, Message> messages;
  for (const Message& m : {Message{1, INT64_MIN, "", "", "", ""}, Message{2, INT64_MAX, "a", "", "", "i"},
                           Message{uint64_t{1} << 61, 0, std::string(300, 's'), "h", "p", std::string(300, 'i')}}) {
    ASSERT_TRUE(run.add(record(m)));
    messages.emplace(m.seq, m);
  }
  EXPECT_FALSE(run.add(record({UINT64_MAX, 0, "far", "", "", ""})));
  const auto bytes = run.finish();
  const auto records = unpack_run(*decode_record(bytes, kSeed));
  ASSERT_TRUE(records);
  EXPECT_EQ(check(messages, *records).size(), 3u);
}

/// Whatever bit flips, no wrong message is found, and few neighbours are missed: those that share a subject which stood there.
TEST(MessageRun, DamageLeavesTheNeighbours) {
  const auto [messages, bytes] = make_run();
  uint64_t missed = 0;
  uint64_t flips = 0;
  for (size_t at = 32; at < bytes.size(); ++at) {  // before that stands which messages they are
    for (unsigned bit = 0; bit < 8; bit += 5, ++flips) {
      std::vector<std::byte> damaged = bytes;
      damaged[at] ^= static_cast<std::byte>(1 << bit);
      EXPECT_FALSE(decode_record(damaged, kSeed));
      missed += messages.size() - check(messages, salvage_run(damaged, kSeed)).size();
    }
  }
  EXPECT_LT(missed, flips * 3 / 2) << missed << "messages missed for " << flips << " flips";
}

TEST(MessageRun, BlankedOneIsGoneAndTheRestStays) {
  auto [messages, bytes] = make_run();
  const uint64_t gone = std::next(messages.begin(), 6)->first;
  const auto run = decode_record(bytes, kSeed);
  const auto again = pack_without(*run, gone, kSeed, nullptr);
  ASSERT_TRUE(again);
  ASSERT_EQ(again->size(), bytes.size());
  const auto changed = decode_record(*again, kSeed);
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->payload.find(messages.at(gone).payload), std::string_view::npos);
  messages.erase(gone);
  size_t erased = 0;
  std::vector<std::byte> kept;
  each_in_run(*unpack_run(*changed), [&](const Record& r, std::span<const std::byte> its) {
    if (r.type == RecordType::kErased) return void(erased += r.seq == gone ? 1 : 100);
    kept.insert(kept.end(), its.begin(), its.end());
  });
  EXPECT_EQ(erased, 1u);
  EXPECT_EQ(check(messages, kept).size(), messages.size());
  EXPECT_EQ(salvage_run(*again, kSeed), *unpack_run(*changed));
}

/// Any bytes under a good checksum: nothing is read outside, and what comes out is bounded.
TEST(MessageRun, WildBytesAreRefusedOrBounded) {
  uint64_t random = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string payload;
    for (int i = 0; i < 60; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      payload.push_back(static_cast<char>(random >> (random % 2 == 0 ? 56 : 61)));  // small numbers too
    }
    Record run;
    run.type = RecordType::kRun;
    run.payload = payload;
    const auto records = unpack_run(run);
    EXPECT_LE(records ? records->size() : 0, size_t{128} * 1024);
    std::vector<std::byte> bytes(record_size(run));
    encode_record(bytes.data(), bytes.size(), run, kSeed);
    EXPECT_TRUE(salvage_run(bytes, kSeed).empty());
  }
}

}  // namespace
}  // namespace sluice::format
