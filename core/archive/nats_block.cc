#include "archive/nats_block.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "archive/byte_reader.h"
#include "archive/s2_stream.h"

namespace sluice {
namespace {

constexpr size_t kRecordHead = 22;  // length u32, sequence u64, time i64, subject length u16
constexpr size_t kRecordSum = 8;
constexpr size_t kMaxRecord = 64u << 20;
constexpr size_t kMaxUnpacked = 64u << 20;
constexpr uint32_t kHasHeaders = 1u << 31;
constexpr uint64_t kErasedBit = 1ull << 63;
constexpr uint64_t kTombstoneBit = 1ull << 62;
constexpr uint8_t kS2 = 1;
constexpr uint8_t kConsumerMagic = 22;
constexpr uint8_t kConsumerVersion = 2;
constexpr uint8_t kIndexMagic = 11;
constexpr size_t kMaxPending = 4'000'000;
constexpr int64_t kSecond = 1'000'000'000;

std::unexpected<Error> corrupt(std::string what) { return fail(Errc::kCorrupt, std::move(what)); }

/// Reads numbers until one is missing; then every further one is 0 and good() false.
class Numbers {
 public:
  explicit Numbers(std::string_view bytes) : in_(bytes) {}
  uint64_t next() {
    const auto value = in_.uvarint();
    good_ = good_ && value.has_value();
    return value.value_or(0);
  }
  int64_t next_signed() {
    const auto value = in_.varint();
    good_ = good_ && value.has_value();
    return value.value_or(0);
  }
  bool good() const { return good_; }
  size_t left() const { return in_.left(); }

 private:
  ByteReader in_;
  bool good_ = true;
};

}  // namespace

Result<std::string> unpack_nats_block(std::string file) {
  if (!file.starts_with("cmp")) return file;
  ByteReader in(std::string_view(file).substr(3));
  const auto algorithm = in.byte();
  const auto size = algorithm ? in.uvarint() : std::nullopt;
  if (!size || in.left() < kRecordSum) return corrupt("a compressed block ends within its head");
  if (*algorithm != kS2) return fail(Errc::kUnsupported, "a block compressed by another algorithm than S2");
  if (*size > kMaxUnpacked) return corrupt("a block larger than 64 MiB");
  // The checksum of the last record stands behind the compressed bytes as it is.
  const std::string_view packed = in.rest().substr(0, in.left() - kRecordSum);
  S2StreamReader reader;
  reader.feed(packed);
  std::string out;
  std::string chunk;
  while (true) {
    const auto more = reader.next(chunk);
    if (!more) return std::unexpected(more.error());
    if (!*more) break;
    if (out.size() + chunk.size() > *size) return corrupt("a block holds more than it says");
    out += chunk;
  }
  if (reader.waiting_bytes() > 0) return corrupt("a compressed block ends within a chunk");
  out += in.rest().substr(packed.size());
  if (out.size() != *size) return corrupt("a block holds less than it says");
  return out;
}

Result<std::optional<NatsRecord>> NatsBlockReader::next() {
  if (rest_.empty()) return std::nullopt;
  ByteReader head(rest_);
  const auto word = head.le(4);
  const auto seq = word ? head.le(8) : std::nullopt;
  const auto time = seq ? head.le(8) : std::nullopt;
  const auto subject_size = time ? head.le(2) : std::nullopt;
  if (!subject_size) return corrupt("a block ends within a record");
  const size_t size = static_cast<size_t>(*word & ~uint64_t{kHasHeaders});
  if (size < kRecordHead + kRecordSum || size > kMaxRecord || size > rest_.size())
    return corrupt("the length of a record makes no sense");
  const std::string_view record = rest_.substr(0, size);
  rest_.remove_prefix(size);

  NatsRecord out;
  out.seq = StreamSeq(*seq & ~(kErasedBit | kTombstoneBit));
  out.time = static_cast<WallNanos>(*time);
  ByteReader body(record.substr(kRecordHead, size - kRecordHead - kRecordSum));
  const auto subject = body.take(static_cast<size_t>(*subject_size));
  std::optional<std::string_view> headers = std::string_view();
  if (subject && (*word & kHasHeaders) != 0) {
    const auto headers_size = body.le(4);
    headers = headers_size ? body.take(static_cast<size_t>(*headers_size)) : std::nullopt;
  }
  const uint64_t sum = *ByteReader(record.substr(size - kRecordSum)).le(kRecordSum);
  HighwayHash hash(key_);
  hash.update(record.substr(4, 16));
  if (subject && headers) {
    hash.update(*subject);
    hash.update(*headers);
    hash.update(body.rest());
  }
  if (!subject || !headers || hash.digest() != sum) {
    // What was erased keeps its length, its other fields may be anything.
    out.kind = (*seq & kErasedBit) != 0 ? NatsRecordKind::kErased : NatsRecordKind::kDamaged;
    return out;
  }
  if ((*seq & kErasedBit) != 0)
    out.kind = NatsRecordKind::kErased;
  else if ((*seq & kTombstoneBit) != 0)
    out.kind = NatsRecordKind::kTombstone;
  out.subject = *subject;
  out.headers = *headers;
  out.payload = body.rest();
  return out;
}

Result<NatsConsumerState> read_nats_consumer_state(std::string_view file) {
  if (file.size() < 2 || static_cast<uint8_t>(file[0]) != kConsumerMagic) return corrupt("not the state of a consumer");
  if (static_cast<uint8_t>(file[1]) != kConsumerVersion)
    return fail(Errc::kUnsupported, "the state of a consumer in another version than 2");
  Numbers in(file.substr(2));
  NatsConsumerState out;
  out.floor_consumer = in.next();
  out.floor_stream = in.next();
  out.delivered_consumer = in.next();
  out.delivered_stream = in.next();
  const uint64_t pending = in.next();
  if (!in.good() || pending > kMaxPending || pending > in.left()) return corrupt("the state of a consumer is cut off");
  std::map<uint64_t, NatsPending> by_seq;
  const int64_t base = pending > 0 ? in.next_signed() : 0;
  for (uint64_t i = 0; i < pending && in.good(); ++i) {
    const uint64_t seq = out.floor_stream + in.next();
    NatsPending& one = by_seq[seq];
    one.seq = StreamSeq(seq);
    one.consumer_seq = out.floor_consumer + in.next();
    const auto seconds = static_cast<uint64_t>(base) - static_cast<uint64_t>(in.next_signed());
    one.time = static_cast<WallNanos>(seconds * static_cast<uint64_t>(kSecond));
  }
  const uint64_t redelivered = in.next();
  if (redelivered > in.left() + 1) return corrupt("the state of a consumer is cut off");
  for (uint64_t i = 0; i < redelivered && in.good(); ++i) {
    const uint64_t seq = out.floor_stream + in.next();
    const uint64_t count = in.next();
    if (const auto found = by_seq.find(seq); found != by_seq.end()) found->second.redeliveries = count;
  }
  if (!in.good()) return corrupt("the state of a consumer is cut off");
  for (auto& [seq, one] : by_seq) out.pending.push_back(one);
  return out;
}

Result<NatsStreamIndex> read_nats_stream_index(std::string_view file) {
  if (file.size() < 2 || static_cast<uint8_t>(file[0]) != kIndexMagic) return corrupt("not the index of a stream");
  Numbers in(file.substr(2));
  NatsStreamIndex out;
  out.messages = in.next();
  out.bytes = in.next();
  out.first_seq = in.next();
  in.next_signed();  // time of the first message
  out.last_seq = in.next();
  out.last_time = in.next_signed();
  if (!in.good()) return corrupt("the index of a stream is cut off");
  return out;
}

std::string nats_checksum_hex(const HighwayHash::Key& key, std::string_view bytes) {
  // The hash's bytes in memory order.
  uint64_t hash = highway_hash(key, bytes);
  std::string out;
  for (int i = 0; i < 8; ++i, hash >>= 8) out += fmt::format("{:02x}", hash & 0xff);
  return out;
}

}  // namespace sluice
