// S2 and Snappy: what real writers wrote, what ours writes, and what is no stream at all.
#include "archive/s2.h"

#include <gtest/gtest.h>

#include <random>

#include "archive/crc32c.h"
#include "archive/s2_stream.h"

namespace sluice {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int v : values) out.push_back(static_cast<char>(v));
  return out;
}

std::string decoded(std::string_view block) {
  const auto out = s2_decode_block(block);
  return out ? *out : "! " + out.error().detail;
}

TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(S2Block, ReadsEveryKindOfElement) {
  EXPECT_EQ(decoded(bytes({0})), "");
  EXPECT_EQ(decoded(bytes({3, 0x08, 'a', 'b', 'c'})), "abc");
  EXPECT_EQ(decoded(bytes({3, 60 << 2, 2, 'a', 'b', 'c'})), "abc");
  EXPECT_EQ(decoded(bytes({3, 63 << 2, 2, 0, 0, 0, 'a', 'b', 'c'})), "abc");
  EXPECT_EQ(decoded(bytes({7, 0x08, 'a', 'b', 'c', 0x01, 3})), "abcabca");              // copy of 4, offset 3
  EXPECT_EQ(decoded(bytes({6, 0x08, 'a', 'b', 'c', 2 << 2 | 2, 3, 0})), "abcabc");      // two-byte offset
  EXPECT_EQ(decoded(bytes({6, 0x08, 'a', 'b', 'c', 2 << 2 | 3, 3, 0, 0, 0})), "abcabc");  // four-byte offset
}

TEST(S2Block, RepeatsTheLastOffset) {
  const std::string head = bytes({0x08, 'a', 'b', 'c', 2 << 2 | 2, 3, 0});  // abcabc, offset 3
  EXPECT_EQ(decoded(bytes({10}) + head + bytes({0x01, 0})), "abcabcabca");  // 4 more
  const std::string one = decoded(bytes({14 + 2}) + head + bytes({5 << 2 | 1, 0, 2}));  // 8 + 2
  EXPECT_EQ(one, "abcabcabcabcabca");
  const std::string two = decoded(bytes({0x8b, 0x02}) + head + bytes({6 << 2 | 1, 0, 1, 0}));
  EXPECT_EQ(two.size(), 267u);
  EXPECT_EQ(two.substr(261), "abcabc");
  EXPECT_EQ(decoded(bytes({5, 0x01, 0})), "! copy from before the block");  // nothing to repeat yet
}

TEST(S2Block, RefusesWhatIsNone) {
  EXPECT_EQ(decoded(""), "! block without its length");
  EXPECT_EQ(decoded(bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})), "! block without its length");
  EXPECT_EQ(decoded(bytes({0xff, 0xff, 0xff, 0xff, 0x0f})), "! block larger than allowed");
  EXPECT_EQ(decoded(bytes({3, 0x08, 'a', 'b'})), "! block ends within a literal");
  EXPECT_EQ(decoded(bytes({2, 0x08, 'a', 'b', 'c'})), "! block holds more than it says");
  EXPECT_EQ(decoded(bytes({4, 0x08, 'a', 'b', 'c'})), "! block holds less than it says");
  EXPECT_EQ(decoded(bytes({7, 0x08, 'a', 'b', 'c', 0x01, 4})), "! copy from before the block");
  EXPECT_EQ(decoded(bytes({6, 0x08, 'a', 'b', 'c', 2 << 2 | 2, 0, 0})), "! block ends within an element");
  EXPECT_EQ(decoded(bytes({6, 0x08, 'a', 'b', 'c', 2 << 2 | 2, 3})), "! block ends within an element");
  EXPECT_FALSE(s2_decode_block(bytes({100}), 99));
}

std::string some_bytes(std::mt19937& random, size_t size) {
  std::string out;
  while (out.size() < size) {
    if (random() % 3 == 0 && !out.empty()) {
      const size_t from = random() % out.size();
      const size_t length = 1 + random() % 300;
      for (size_t i = 0; i < length; ++i) out.push_back(out[from + i % (out.size() - from)]);
    } else {
      for (size_t i = random() % 70; i > 0; --i) out.push_back(static_cast<char>(random() % 7 == 0 ? random() : 'a' + random() % 4));
      out.push_back('x');
    }
  }
  out.resize(size);
  return out;
}

TEST(S2Block, ComesBackAsItWas) {
  std::mt19937 random(1);
  for (const size_t size : {0, 1, 2, 3, 4, 5, 63, 64, 65, 1000, 65535, 65536}) {
    for (int round = 0; round < 20; ++round) {
      const std::string original = some_bytes(random, size);
      std::string block;
      s2_encode_block(original, block);
      ASSERT_EQ(decoded(block), original) << size;
    }
  }
  std::string block;
  s2_encode_block(std::string(65536, 'a'), block);
  EXPECT_LT(block.size(), 4000u);
}

Result<std::string> inflate(std::string_view stream, size_t piece) {
  S2StreamReader reader;
  std::string out;
  std::string chunk;
  for (size_t at = 0; at < stream.size(); at += piece) {
    reader.feed(stream.substr(at, piece));
    while (true) {
      const auto more = reader.next(chunk);
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
      out += chunk;
    }
  }
  if (reader.waiting_bytes() > 0) return fail(Errc::kCorrupt, "half a chunk is left");
  return out;
}

TEST(S2Stream, ComesBackInPiecesOfAnySize) {
  std::mt19937 random(2);
  const std::string original = some_bytes(random, 200'000);
  S2StreamWriter writer;
  for (size_t at = 0; at < original.size(); at += 777) writer.write(std::string_view(original).substr(at, 777));
  writer.flush();
  const std::string stream = writer.take();
  EXPECT_LT(stream.size(), original.size());
  for (const size_t piece : {1u, 3u, 1000u, 1'000'000u}) {
    const auto back = inflate(stream, piece);
    ASSERT_TRUE(back) << back.error().detail;
    EXPECT_EQ(*back, original);
  }
}

TEST(S2Stream, NoticesEveryFlippedBit) {
  S2StreamWriter writer;
  writer.write("hello hello hello hello hello, this is some text");
  writer.flush();
  const std::string stream = writer.take();
  for (size_t bit = 0; bit < stream.size() * 8; ++bit) {
    std::string flipped = stream;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto back = inflate(flipped, flipped.size());
    // The kind of a data chunk may flip to one that is passed over: then nothing is left.
    EXPECT_TRUE(!back || back->empty()) << "bit " << bit;
  }
}

TEST(S2Stream, PassesOverWhatMayBePassedOver) {
  S2StreamWriter writer;
  writer.write("text");
  writer.flush();
  const std::string stream = writer.take();
  EXPECT_EQ(*inflate(stream + bytes({0x99, 2, 0, 0, 'i', 'x'}) + bytes({0xfe, 1, 0, 0, 0}), 5), "text");
  EXPECT_FALSE(inflate(stream + bytes({0x50, 1, 0, 0, 0}), 100));
  EXPECT_FALSE(inflate(bytes({0x01, 5, 0, 0, 0, 0, 0, 0, 'x'}), 100));
  EXPECT_FALSE(inflate("garbage that is no stream at all, but long", 100));
}

TEST(S2Stream, GarbageNeverHurts) {
  std::mt19937 random(3);
  S2StreamWriter writer;
  writer.write(some_bytes(random, 3000));
  writer.flush();
  const std::string good = writer.take();
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = good.substr(0, 200);
    for (int i = 0; i < 4; ++i) bad[random() % bad.size()] = static_cast<char>(random());
    (void)inflate(bad, 64);
    (void)s2_decode_block(std::string_view(bad).substr(10 + random() % 20));
  }
}

}  // namespace
}  // namespace sluice
