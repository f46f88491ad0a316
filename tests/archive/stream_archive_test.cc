// The archive of nats-server 2.15.2: one of its own, and round trips.
#include "archive/stream_archive.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <vector>

#include "archive/highway_hash.h"
#include "archive/s2_stream.h"
#include "test_paths.h"

namespace sluice {
namespace {

std::string fixture(const std::string& name) {
  std::ifstream in(std::string(SLUICE_FIXTURES) + "/archive/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Kept {
  std::string name, headers, body;
  uint64_t seq;
};

Result<std::vector<Kept>> read_all(std::string_view raw, size_t piece, bool* ended = nullptr) {
  ArchiveReader reader;
  std::vector<Kept> out;
  for (size_t at = 0; at < raw.size(); at += piece) {
    reader.feed(raw.substr(at, piece));
    while (true) {
      const auto entry = reader.next();
      if (!entry) return std::unexpected(entry.error());
      if (!*entry) break;
      const ArchiveEntry& e = **entry;
      out.push_back({std::string(e.name), std::string(e.headers), std::string(e.body), e.seq.value()});
    }
  }
  if (ended != nullptr) *ended = reader.ended();
  return out;
}

TEST(StreamArchive, ReadsWhatTheReferenceWrote) {
  S2StreamReader compressed;
  compressed.feed(fixture("orders-v2.s2"));
  std::string raw;
  std::string chunk;
  while (true) {
    const auto more = compressed.next(chunk);
    ASSERT_TRUE(more) << more.error().detail;
    if (!*more) break;
    raw += chunk;
  }
  bool ended = false;
  const auto entries = read_all(raw, 1000, &ended);
  ASSERT_TRUE(entries) << entries.error().detail;
  EXPECT_TRUE(ended);
  ASSERT_EQ(entries->size(), 40u);
  EXPECT_EQ((*entries)[0].name, "state.json");
  EXPECT_EQ((*entries)[1].name, "consumers/D");
  EXPECT_EQ((*entries)[2].name, "orders.0");
  EXPECT_EQ((*entries)[2].headers, "NATS/1.0\r\nNats-Msg-Id: m0\r\n\r\n");
  EXPECT_EQ((*entries)[2].body, "order 0 ");
  EXPECT_EQ(entries->back().name, "orders.big");
  EXPECT_EQ(entries->back().body.size(), 160'000u);
}

TEST(StreamArchive, ComesBackAsItWas) {
  const ArchiveWriter writer;
  std::string raw;
  writer.begin(raw);
  writer.entry({.name = "state.json", .time = 5, .seq = {}, .headers = {}, .body = "{}"}, raw);
  writer.entry({.name = "s.a", .time = -7, .seq = StreamSeq(1ull << 40), .headers = "NATS/1.0\r\n\r\n", .body = ""}, raw);
  writer.end(raw);
  for (const size_t piece : {1u, 7u, 1000u}) {
    bool ended = false;
    const auto entries = read_all(raw, piece, &ended);
    ASSERT_TRUE(entries);
    EXPECT_TRUE(ended);
    ASSERT_EQ(entries->size(), 2u);
    EXPECT_EQ((*entries)[1].seq, 1ull << 40);
    EXPECT_EQ((*entries)[1].headers, "NATS/1.0\r\n\r\n");
  }
  bool ended = true;
  ASSERT_TRUE(read_all(raw.substr(0, raw.size() - 1), 100, &ended));
  EXPECT_FALSE(ended);
  EXPECT_FALSE(read_all(raw + "x", 1000));
}

TEST(StreamArchive, RefusesWhatIsNone) {
  EXPECT_FALSE(read_all("NATSARC2aaaaaaaaaaa", 100));
  const std::string magic(kArchiveMagic);
  EXPECT_FALSE(read_all(magic + std::string(60, '\xff'), 100));
  // A name without end, a body of 2^50.
  EXPECT_FALSE(read_all(magic + "\x80\x80\x80\x80\x01" + std::string(4, '\1') + std::string(60, 'x'), 100));
  EXPECT_FALSE(read_all(magic + std::string("\x01\x01\x01\x00\x80\x80\x80\x80\x80\x80\x80\x01", 12) + "x", 100));
}

TEST(HighwayHash, KnownVectors) {
  HighwayHash::Key key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i);
  // From the published reference implementation: the first three lengths of its table.
  EXPECT_EQ(highway_hash(key, ""), 0x907A56DE22C26E53u);
  EXPECT_EQ(highway_hash(key, std::string(1, '\0')), 0x7EAB43AAC7CDDD78u);
  EXPECT_EQ(highway_hash(key, std::string("\0\1", 2)), 0xB8D0569AB0B53D62u);
}

TEST(HighwayHash, PiecesMakeTheSame) {
  const HighwayHash::Key key{1, 2, 3};
  std::string text;
  for (int i = 0; i < 200; ++i) text.push_back(static_cast<char>(i * 7));
  for (size_t length = 0; length < text.size(); ++length) {
    HighwayHash hash(key);
    const std::string_view part = std::string_view(text).substr(0, length);
    hash.update(part.substr(0, length / 3));
    hash.update(part.substr(length / 3));
    EXPECT_EQ(hash.digest(), highway_hash(key, part));
  }
}

}  // namespace
}  // namespace sluice
