#include "compression/zstd_stream.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "sim/sim_random.h"

namespace sluice {
namespace {

Result<std::string> read_all(ZstdReader& reader, std::string_view in, size_t chunk_bytes = 1000) {
  std::string out, chunk(chunk_bytes, '\0');
  while (true) {
    const auto made = reader.read(in, chunk);
    if (!made) return std::unexpected(made.error());
    out.append(chunk, 0, *made);
    if (*made < chunk.size() && in.empty()) return out;
  }
}

TEST(ZstdStream, EachWriteIsReadAtOnce) {
  ZstdWriter writer;
  ZstdReader reader;
  sim::SimRandom random(1);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random.below(i % 50 == 0 ? 300'000 : 400), 'a');
    for (size_t n = 0; n < bytes.size(); n += 1 + random.below(40)) bytes[n] = static_cast<char>(random.below(256));
    std::string packed;
    writer.write(bytes, packed);
    if (i == 0) {
      ASSERT_EQ(packed.front(), kZstdFirstByte);
    }
    const auto got = read_all(reader, packed, 1 + random.below(5000));
    ASSERT_TRUE(got && *got == bytes) << i;
  }
}

TEST(ZstdStream, WhatIsStoredIsReadAmongWhatIsCompressed) {
  ZstdWriter writer;
  ZstdReader reader;
  sim::SimRandom random(2);
  std::string in, packed;
  for (int i = 0; i < 60; ++i) {
    const std::string bytes(random.below(i % 10 == 0 ? 300'000 : 2000), static_cast<char>('a' + i % 26));
    in += bytes;
    const size_t before = packed.size();
    if (random.chance(50)) {
      writer.store(bytes, packed);
      EXPECT_GE(packed.size() - before, bytes.size());
    } else {
      writer.write(bytes, packed);
    }
  }
  const auto got = read_all(reader, packed, 5000);
  ASSERT_TRUE(got) << got.error().detail;
  EXPECT_EQ(*got, in);
}

TEST(ZstdStream, WhatWasSentBeforeIsTheDictionary) {
  ZstdWriter writer;
  const std::string one = "PUB orders.eu.17 _INBOX.abcdefgh.r.1 40\r\n{\"customer\": \"Miller\", \"total\": 1250.50}\r\n";
  std::string first, second;
  writer.write(one, first);
  writer.write(one, second);
  EXPECT_LT(second.size() * 4, first.size());
}

TEST(ZstdStream, ADictionaryWaitsForItsFrameHoweverOftenOneReads) {
  const auto dictionary = std::make_shared<const Dictionary>(Dictionary{.content = std::string(200, 'x') + "PUB orders.eu"});
  ZstdWriter writer;
  ZstdReader reader;
  std::string first, second;
  writer.write("hello", first);
  writer.end_frame(first);
  writer.use(dictionary);
  writer.write("PUB orders.eu.17", second);
  reader.expect(dictionary, 1);
  EXPECT_EQ(read_all(reader, first), "hello");
  EXPECT_EQ(read_all(reader, ""), "");
  EXPECT_EQ(read_all(reader, second), "PUB orders.eu.17");
}

TEST(ZstdStream, ALargeWindowIsRefusedBeforeItIsMade) {
  ZstdReader reader;
  constexpr char kFrame[] = "\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00";  // 128 MiB
  EXPECT_EQ(read_all(reader, {kFrame, sizeof kFrame - 1}).error().code, Errc::kCorrupt);
}

TEST(ZstdStream, NoFrameIsRefused) {
  ZstdReader reader;
  EXPECT_EQ(read_all(reader, "(PING\r\n").error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace sluice
