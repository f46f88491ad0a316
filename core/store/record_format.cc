#include "store/record_format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"
#include "base/limits.h"

namespace sluice::format {

uint64_t file_seed(uint64_t store_id, uint64_t file_number) {
  uint64_t both[2] = {store_id, file_number};
  return XXH3_64bits(both, sizeof both);
}

uint64_t checksum(const void* bytes, size_t size, uint64_t seed) {
  return XXH3_64bits(bytes, size) ^ seed;
}

uint32_t subject_hash(std::string_view subject) {
  return static_cast<uint32_t>(XXH3_64bits(subject.data(), subject.size()));
}

namespace {

constexpr uint8_t kSealedFlag = 1;
constexpr uint8_t kMoreFlag = 2;  ///< of the short header: lengths of headers and id follow

/// What a record's header says of the lengths behind it.
struct Shape {
  size_t header = kRecordHeader;
  size_t subject = 0;
  size_t headers = 0;
  size_t payload = 0;
  size_t msg_id = 0;
  bool sealed = false;

  size_t body() const { return subject + headers + payload + msg_id; }
  size_t record() const { return std::max(kRecordHeader, align8(header + body() + (sealed ? Sealer::kSeal_bytes : 0))); }
};

/// The short header has its mark where the other has the upper half of a stream's id, which encode_record keeps below it.
bool is_short(const std::byte* p) { return load_le16(p + 14) == kShortMark; }

std::optional<Shape> read_short(const std::byte* p) {
  const auto flags = static_cast<uint8_t>(p[13]);
  if (static_cast<RecordType>(p[12]) != RecordType::kMessage || (flags & ~(kSealedFlag | kMoreFlag)) != 0) return std::nullopt;
  Shape shape;
  const bool more = (flags & kMoreFlag) != 0;
  shape.header = more ? kShortHeaderMore : kShortHeader;
  shape.subject = static_cast<uint8_t>(p[32]);
  shape.payload = load_le16(p + 30);
  shape.headers = more ? load_le16(p + 33) : 0;
  shape.msg_id = more ? static_cast<uint8_t>(p[35]) : 0;
  shape.sealed = (flags & kSealedFlag) != 0;
  return shape;
}

/// `p`: kRecordHeader bytes at least. nullopt when it can't be a record's.
std::optional<Shape> read_shape(const std::byte* p) {
  if (is_short(p)) return read_short(p);
  const auto type = static_cast<uint8_t>(p[44]);
  const auto flags = static_cast<uint8_t>(p[45]);
  if (load_le16(p + 46) != kRecordMark || (flags & ~kSealedFlag) != 0) return std::nullopt;
  if (type < static_cast<uint8_t>(RecordType::kMessage) || type > static_cast<uint8_t>(RecordType::kRun)) return std::nullopt;
  Shape shape;
  shape.payload = load_le32(p + 32);
  shape.headers = load_le32(p + 36);
  shape.subject = load_le16(p + 40);
  shape.msg_id = load_le16(p + 42);
  shape.sealed = flags != 0;
  if (shape.payload > 2 * kMaxRecord_bytes || shape.headers > kMaxRecord_bytes) return std::nullopt;
  return shape;
}

/// Where it is wanted: a record is too large to be handed from frame to frame for each message.
void read_record(const std::byte* p, const Shape& shape, Record& r) {
  r.batch = load_le32(p + 8);
  r.is_short = is_short(p);
  if (r.is_short) {
    r.type = RecordType::kMessage;
    r.stream = load_le16(p + 28);
    r.seq = load_le32(p + 24);
    r.time = load_le<WallNanos>(p + 16);
  } else {
    r.type = static_cast<RecordType>(p[44]);
    r.stream = load_le32(p + 12);
    r.seq = load_le64(p + 16);
    r.time = load_le<WallNanos>(p + 24);
  }
  r.sealed = shape.sealed;
  const char* at = reinterpret_cast<const char*>(p + shape.header);
  const auto take = [&at](size_t length) {
    const std::string_view part(at, length);
    at += length;
    return part;
  };
  r.subject = take(shape.subject);
  r.headers = take(shape.headers);
  r.payload = take(shape.payload);
  r.msg_id = take(shape.msg_id);
}

/// The fields that a seal vouches for: all of the header but its checksum, and which file it stands in.
std::array<std::byte, kRecordHeader> beside(const std::byte* record, size_t header, uint64_t seed) {
  std::array<std::byte, kRecordHeader> bytes{};
  store_le64(bytes.data(), seed);
  std::memcpy(bytes.data() + 8, record + 8, header - 8);
  return bytes;
}

void encode_short_header(std::byte* into, const Record& r) {
  const bool more = !r.headers.empty() || !r.msg_id.empty();
  into[12] = static_cast<std::byte>(r.type);
  into[13] = static_cast<std::byte>((r.sealed ? kSealedFlag : 0) | (more ? kMoreFlag : 0));
  store_le16(into + 14, kShortMark);
  store_le(into + 16, r.time);
  store_le32(into + 24, static_cast<uint32_t>(r.seq));
  store_le16(into + 28, static_cast<uint16_t>(r.stream));
  store_le16(into + 30, static_cast<uint16_t>(r.payload.size()));
  into[32] = static_cast<std::byte>(r.subject.size());
  if (!more) return;
  store_le16(into + 33, static_cast<uint16_t>(r.headers.size()));
  into[35] = static_cast<std::byte>(r.msg_id.size());
}

void encode_header(std::byte* into, const Record& r) {
  SLUICE_CHECK(r.subject.size() <= UINT16_MAX && r.msg_id.size() <= UINT16_MAX);
  SLUICE_CHECK(r.payload.size() <= 2 * kMaxRecord_bytes && r.headers.size() <= kMaxRecord_bytes);
  SLUICE_CHECK(r.stream >> 16 != kShortMark);
  store_le32(into + 12, r.stream);
  store_le64(into + 16, r.seq);
  store_le(into + 24, r.time);
  store_le32(into + 32, static_cast<uint32_t>(r.payload.size()));
  store_le32(into + 36, static_cast<uint32_t>(r.headers.size()));
  store_le16(into + 40, static_cast<uint16_t>(r.subject.size()));
  store_le16(into + 42, static_cast<uint16_t>(r.msg_id.size()));
  into[44] = static_cast<std::byte>(r.type);
  into[45] = static_cast<std::byte>(r.sealed ? kSealedFlag : 0);
  store_le16(into + 46, kRecordMark);
}

}  // namespace

void encode_record(std::byte* into, size_t size, const Record& r, uint64_t seed, Sealer* sealer) {
  store_le64(into + size - 16, 0);  // padding; overwritten below where there are bytes
  store_le64(into + size - 8, 0);
  store_le32(into + 8, r.batch);
  if (r.is_short) {
    SLUICE_CHECK(fits_short(r));
    encode_short_header(into, r);
  } else {
    encode_header(into, r);
  }
  const size_t header = header_size(r);
  std::byte* at = into + header;
  for (std::string_view part : {r.subject, r.headers, r.payload, r.msg_id}) {
    if (part.empty()) continue;
    std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  if (r.sealed) {
    SLUICE_CHECK(sealer != nullptr);
    sealer->seal({into + header, at}, beside(into, header, seed), at);
  }
  store_le64(into, checksum(into + 8, size - 8, seed));
}

bool open_record(std::byte* record, uint64_t seed, Sealer* sealer) {
  const auto shape = read_shape(record);
  SLUICE_CHECK(shape.has_value());
  if (!shape->sealed) return true;
  std::byte* body = record + shape->header;
  return sealer != nullptr && sealer->open({body, shape->body()}, beside(record, shape->header, seed), body + shape->body());
}

size_t peek_record_size(std::span<const std::byte> bytes) {
  if (bytes.size() < kRecordHeader) return 0;
  const auto shape = read_shape(bytes.data());
  return shape ? shape->record() : 0;
}

std::optional<Record> decode_record(std::span<const std::byte> bytes, uint64_t seed) {
  std::optional<Record> record;
  if (bytes.size() < kRecordHeader) return record;
  const auto shape = read_shape(bytes.data());
  if (!shape || shape->record() > bytes.size()) return record;
  if (load_le64(bytes.data()) != checksum(bytes.data() + 8, shape->record() - 8, seed)) return record;
  read_record(bytes.data(), *shape, record.emplace());
  return record;
}

uint32_t accounted_bytes(const Record& r) {
  const size_t headers = r.headers.empty() ? 0 : 4 + r.headers.size();
  return static_cast<uint32_t>(22 + r.subject.size() + headers + r.payload.size() + 8);
}

std::optional<Record> parse_record(std::span<const std::byte> bytes) {
  std::optional<Record> record;
  if (bytes.size() < kRecordHeader) return record;
  const auto shape = read_shape(bytes.data());
  if (!shape || shape->record() > bytes.size()) return record;
  read_record(bytes.data(), *shape, record.emplace());
  return record;
}

std::string encode_range(const SeqRange& range) {
  std::string bytes(kRange, '\0');
  store_le64(bytes.data(), range.first);
  store_le64(bytes.data() + 8, range.last);
  return bytes;
}

SeqRange decode_range(std::string_view ranges, size_t at) {
  SLUICE_CHECK(at + kRange <= ranges.size());
  return {load_le64(ranges.data() + at), load_le64(ranges.data() + at + 8)};
}

void encode_file_header(std::byte* into, const FileHeader& header) {
  std::memset(into, 0, kBlock);
  store_le32(into, header.magic);
  store_le32(into + 4, header.version);
  store_le64(into + 8, header.store_id);
  store_le64(into + 16, header.number);
  store_le64(into + 24, header.first_batch);
  store_le64(into + 32, header.proved);
  store_le64(into + 40, header.key_id);
  store_le64(into + 72, checksum(into, 72, header.store_id));
  for (size_t copy = 1; copy < kFileHeaderCopies; ++copy) {
    std::memcpy(into + copy * kBlock / kFileHeaderCopies, into, kFileHeader);
  }
}

namespace {
std::optional<FileHeader> decode_header_copy(const std::byte* p, uint32_t magic) {
  FileHeader h;
  h.magic = load_le32(p);
  h.version = load_le32(p + 4);
  h.store_id = load_le64(p + 8);
  const size_t covered = h.version == 1 ? 40 : 72;
  if (h.magic != magic || load_le64(p + covered) != checksum(p, covered, h.store_id)) return std::nullopt;
  h.number = load_le64(p + 16);
  h.first_batch = load_le64(p + 24);
  h.proved = load_le64(p + 32);
  if (is_sealed_version(h.version)) h.key_id = load_le64(p + 40);
  return h;
}
}  // namespace

std::optional<FileHeader> decode_file_header(std::span<const std::byte> bytes, uint32_t magic) {
  for (size_t copy = 0; copy < kFileHeaderCopies; ++copy) {
    const size_t at = copy * kBlock / kFileHeaderCopies;
    if (bytes.size() < at + kFileHeader) return std::nullopt;
    if (auto header = decode_header_copy(bytes.data() + at, magic)) return header;
  }
  return std::nullopt;
}

void seal_batch(std::span<std::byte> batch, BatchHeader h) {
  std::byte* p = batch.data();
  SLUICE_CHECK(batch.size() == h.length && h.length >= kBatchHeader);
  const uint64_t seed = file_seed(h.store_id, h.generation);
  store_le32(p, kBatchMagic);
  store_le32(p + 4, h.version);
  store_le64(p + 8, h.store_id);
  store_le64(p + 16, h.generation);
  store_le64(p + 24, h.number);
  store_le64(p + 32, h.file_first_batch);
  store_le64(p + 40, h.durable);
  store_le64(p + 48, h.length);
  store_le64(p + 56, h.last_commit);
  store_le32(p + 64, h.count);
  store_le32(p + 68, 0);
  store_le64(p + 72, h.next_stream);
  store_le64(p + 80, h.next_consumer);
  store_le64(p + 88, h.next_file);
  store_le64(p + 96, checksum(p + kBatchHeader, h.length - kBatchHeader, seed));
  store_le64(p + 104, checksum(p, 104, seed));
}

std::optional<BatchHeader> decode_batch_header(std::span<const std::byte> bytes) {
  if (bytes.size() < kBatchHeader || load_le32(bytes.data()) != kBatchMagic) return std::nullopt;
  const std::byte* p = bytes.data();
  BatchHeader h;
  h.version = load_le32(p + 4);
  h.store_id = load_le64(p + 8);
  h.generation = load_le64(p + 16);
  if (load_le64(p + 104) != checksum(p, 104, file_seed(h.store_id, h.generation))) return std::nullopt;
  h.number = load_le64(p + 24);
  h.file_first_batch = load_le64(p + 32);
  h.durable = load_le64(p + 40);
  h.length = load_le64(p + 48);
  h.last_commit = load_le64(p + 56);
  h.count = load_le32(p + 64);
  h.next_stream = load_le64(p + 72);
  h.next_consumer = load_le64(p + 80);
  h.next_file = load_le64(p + 88);
  h.body_checksum = load_le64(p + 96);
  return h;
}

bool batch_body_matches(std::span<const std::byte> batch, const BatchHeader& h) {
  if (h.length < kBatchHeader || h.length > batch.size()) return false;
  return h.body_checksum ==
         checksum(batch.data() + kBatchHeader, h.length - kBatchHeader, file_seed(h.store_id, h.generation));
}

}  // namespace sluice::format
