#include "archive/nats_index.h"

#include "archive/byte_reader.h"

namespace sluice {
namespace {

constexpr size_t kSum_bytes = 8;
constexpr uint8_t kVersion = 4;
constexpr uint8_t kSetMagic = 22;
constexpr uint8_t kSetVersion = 2;
constexpr size_t kWordsOfANode = 32;
constexpr size_t kNode_bytes = 8 + kWordsOfANode * 8 + 2;

std::unexpected<Error> corrupt(std::string what) { return fail(Errc::kCorrupt, std::move(what)); }

bool skip_uvarints(ByteReader& in, int count) {
  while (count-- > 0)
    if (!in.uvarint()) return false;
  return true;
}

/// A tree of nodes, each a first number and 2048 bits.
bool read_set(ByteReader& in, SeqSet& out) {
  const auto magic = in.byte();
  const auto version = magic ? in.byte() : std::nullopt;
  const auto nodes = version ? in.le(4) : std::nullopt;
  const auto size = nodes ? in.le(4) : std::nullopt;
  if (!size || *magic != kSetMagic || *version != kSetVersion || *nodes > in.left() / kNode_bytes) return false;
  for (uint64_t node = 0; node < *nodes; ++node) {
    const uint64_t base = *in.le(8);
    for (uint64_t word = 0; word < kWordsOfANode; ++word) {
      const uint64_t bits = *in.le(8);
      for (uint64_t bit = 0; bit < 64; ++bit)
        if ((bits >> bit & 1) != 0) out.insert(base + word * 64 + bit);
    }
    (void)in.le(2);  // the node's height
  }
  return true;
}

bool skip_subjects(ByteReader& in) {
  const auto count = in.uvarint();
  if (!count || *count > in.left()) return false;
  for (uint64_t i = 0; i < *count; ++i) {
    const auto size = in.uvarint();
    if (!size || *size > in.left() || !in.take(static_cast<size_t>(*size))) return false;
    if (!skip_uvarints(in, 3)) return false;  // messages, first and last block
  }
  return true;
}

bool read_blocks(ByteReader& in, NatsIndex& out) {
  const auto count = in.uvarint();
  if (!count || *count > in.left()) return false;
  for (uint64_t i = 0; i < *count; ++i) {
    const auto number = in.uvarint();
    const auto bytes = number ? in.uvarint() : std::nullopt;
    const auto first = bytes ? in.uvarint() : std::nullopt;
    const auto first_time = first ? in.varint() : std::nullopt;
    const auto last = first_time ? in.uvarint() : std::nullopt;
    const auto last_time = last ? in.varint() : std::nullopt;
    const auto deleted = last_time ? in.uvarint() : std::nullopt;
    if (!deleted || !skip_uvarints(in, 2)) return false;  // messages with a TTL, with a schedule
    if (*deleted > 0 && !read_set(in, out.deleted)) return false;
    out.blocks.push_back({.number = *number, .first_seq = *first});
  }
  return true;
}

}  // namespace

Result<NatsIndex> read_nats_index(std::string_view file, const HighwayHash::Key& key) {
  const auto head = read_nats_stream_index(file);
  if (!head) return std::unexpected(head.error());
  if (static_cast<uint8_t>(file[1]) != kVersion) return fail(Errc::kUnsupported, "index.db of another release");
  if (file.size() < 2 + 2 * kSum_bytes) return corrupt("index.db is cut off");
  const std::string_view body = file.substr(0, file.size() - kSum_bytes);
  if (highway_hash(key, body) != *ByteReader(file.substr(body.size())).le(kSum_bytes))
    return corrupt("index.db does not match its checksum");
  NatsIndex out;
  out.head = *head;
  ByteReader in(body.substr(2));
  // Messages, bytes, the first one's sequence and time, the last one's.
  if (!skip_uvarints(in, 6) || !skip_subjects(in) || !read_blocks(in, out) || !in.uvarint() || in.left() != kSum_bytes)
    return corrupt("index.db has another layout than expected");
  out.last_checksum = in.rest();
  return out;
}

}  // namespace sluice
