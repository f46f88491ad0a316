// Every fuzz target on its corpus and on seeded changes of it, without a fuzzer: what `./dev fuzz`
// does for long, each run of the tests does for a moment.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "test_paths.h"

// Each target's LLVMFuzzerTestOneInput, renamed by the build.
extern "C" int fuzz_archive(const uint8_t* data, size_t size);
extern "C" int fuzz_cloud_events(const uint8_t* data, size_t size);
extern "C" int fuzz_connect(const uint8_t* data, size_t size);
extern "C" int fuzz_dictionary_words(const uint8_t* data, size_t size);
extern "C" int fuzz_headers(const uint8_t* data, size_t size);
extern "C" int fuzz_http_request(const uint8_t* data, size_t size);
extern "C" int fuzz_jwt(const uint8_t* data, size_t size);
extern "C" int fuzz_leaf_handshake(const uint8_t* data, size_t size);
extern "C" int fuzz_leaf_parser(const uint8_t* data, size_t size);
extern "C" int fuzz_nats_conf(const uint8_t* data, size_t size);
extern "C" int fuzz_spool_socket(const uint8_t* data, size_t size);
extern "C" int fuzz_wire_parser(const uint8_t* data, size_t size);
extern "C" int fuzz_ws_inbound(const uint8_t* data, size_t size);

namespace sluice {
namespace {

constexpr size_t kChanges = 300;      ///< of each file
constexpr size_t kSlowChanges = 15;  ///< of a target whose few bytes stand for megabytes, or that runs a whole world
constexpr size_t kMost_bytes = 64 * 1024;

struct Target {
  const char* name;
  int (*run)(const uint8_t*, size_t);
  size_t changes = kChanges;
};
constexpr Target kTargets[] = {
    {"archive", fuzz_archive, kSlowChanges},
    {"cloud_events", fuzz_cloud_events},
    {"connect", fuzz_connect},
    {"dictionary_words", fuzz_dictionary_words},
    {"headers", fuzz_headers},
    {"http_request", fuzz_http_request},
    {"jwt", fuzz_jwt},
    {"leaf_handshake", fuzz_leaf_handshake},
    {"leaf_parser", fuzz_leaf_parser},
    {"nats_conf", fuzz_nats_conf},
    {"spool_socket", fuzz_spool_socket, kSlowChanges},
    {"wire_parser", fuzz_wire_parser},
    {"ws_inbound", fuzz_ws_inbound},
};

using Bytes = std::vector<uint8_t>;
using Dice = std::mt19937_64;

void run(const Target& target, const Bytes& bytes) { target.run(bytes.data(), bytes.size()); }

std::vector<Bytes> corpus_of(const Target& target) {
  std::vector<Bytes> out;
  const auto folder = std::filesystem::path(SLUICE_SOURCE) / "tests/fuzz/corpus" / target.name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return out;
}

size_t below(Dice& dice, size_t end) { return end == 0 ? 0 : dice() % end; }

/// One change: a byte, a piece gone, a piece twice, a piece of another file, or a cut.
void change(Bytes& bytes, const Bytes& other, Dice& dice) {
  const size_t at = below(dice, bytes.size() + 1);
  const size_t size = below(dice, 1 + below(dice, 64));
  const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  switch (dice() % 6) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<uint8_t>(dice());
      return;
    case 1:
      if (at < bytes.size()) bytes[at] ^= static_cast<uint8_t>(1U << (dice() % 8));
      return;
    case 2:
      bytes.erase(place, place + static_cast<std::ptrdiff_t>(std::min(size, bytes.size() - at)));
      return;
    case 3: {
      const Bytes piece(place,
                        place + static_cast<std::ptrdiff_t>(std::min(size, bytes.size() - at)));
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
      return;
    }
    case 4: {
      const size_t from = below(dice, other.size() + 1);
      const size_t count = std::min(size, other.size() - from);
      bytes.insert(place, other.begin() + static_cast<std::ptrdiff_t>(from),
                   other.begin() + static_cast<std::ptrdiff_t>(from + count));
      return;
    }
    default:
      bytes.resize(at);
  }
}

class Replay : public testing::TestWithParam<Target> {};

TEST_P(Replay, Corpus) {
  const auto corpus = corpus_of(GetParam());
  ASSERT_FALSE(corpus.empty());
  run(GetParam(), {});
  for (const Bytes& bytes : corpus) run(GetParam(), bytes);
}

TEST_P(Replay, SeededChanges) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  std::printf("%s seed %llu\n", GetParam().name, static_cast<unsigned long long>(seed));
  Dice dice(seed);
  const auto corpus = corpus_of(GetParam());
  for (const Bytes& original : corpus) {
    for (size_t i = 0; i < GetParam().changes; ++i) {
      Bytes bytes = original;
      for (size_t changes = 1 + below(dice, 8); changes > 0; --changes)
        change(bytes, corpus[below(dice, corpus.size())], dice);
      if (bytes.size() <= kMost_bytes) run(GetParam(), bytes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Replay, testing::ValuesIn(kTargets),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace sluice
