// The bytes of the store's files: headers, batches, records. Pure; docs/storage_format.md is the text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time_format.h"
#include "crypto/sealer.h"

namespace sluice::format {

inline constexpr uint32_t kVersion = 6;        ///< of files that are not encrypted
inline constexpr uint32_t kSealedVersion = 7;  ///< of those that are; the newest that can be read
constexpr bool is_sealed_version(uint32_t version) { return version == 3 || version == 5 || version == 7; }
inline constexpr size_t kBlock = 4096;
inline constexpr size_t kFileHeader = 80;
inline constexpr size_t kFileHeaderCopies = 4;
inline constexpr size_t kBatchHeader = 112;
inline constexpr size_t kRecordHeader = 48;      ///< also the least that a record takes
inline constexpr size_t kShortHeader = 33;       ///< of a message without headers and id
inline constexpr size_t kShortHeaderMore = 36;   ///< of one with either
inline constexpr uint32_t kJournalMagic = 0x314A4C53;  // "SLJ1"
inline constexpr uint32_t kSegmentMagic = 0x31534C53;  // "SLS1"
inline constexpr uint32_t kIdsMagic = 0x31494C53;      // "SLI1"
inline constexpr uint32_t kBatchMagic = 0x31424C53;    // "SLB1"
inline constexpr uint16_t kRecordMark = 0xA55C;
inline constexpr uint16_t kShortMark = 0xA55D;

enum class RecordType : uint8_t {
  kMessage = 1,
  kSkip,
  kRemove,
  kPurgeBelow,
  kStreamMeta,
  kStreamDelete,
  kConsumerMeta,
  kConsumerDelete,
  kConsumerDelta,
  kConsumerSnapshot,
  kHighWater,
  kNothing,
  kErased,
  kPacked,
  kErase,
  kRun,
};
/// Records that hold messages of one stream, to be unpacked.
constexpr bool is_run(RecordType type) { return type == RecordType::kPacked || type == RecordType::kRun; }

/// What every checksum of a file is mixed with.
uint64_t file_seed(uint64_t store_id, uint64_t file_number);
uint64_t checksum(const void* bytes, size_t size, uint64_t seed);
/// Kept beside each message's place, in RAM and in index pages, so that scans for few subjects need not read messages.
uint32_t subject_hash(std::string_view subject);

constexpr size_t align8(size_t n) { return (n + 7) & ~size_t{7}; }
constexpr uint64_t align_block(uint64_t n) { return (n + kBlock - 1) & ~uint64_t{kBlock - 1}; }

/// Whether a type's record is encrypted when the store is: those that say only which sequences there are, are not.
constexpr bool is_sealable(RecordType type) {
  return type == RecordType::kMessage || type == RecordType::kSkip || type == RecordType::kStreamMeta ||
         type == RecordType::kConsumerMeta || type == RecordType::kConsumerDelta || type == RecordType::kConsumerSnapshot ||
         is_run(type);
}

/// A record as written and as read; views into the caller's bytes.
struct Record {
  RecordType type = RecordType::kNothing;
  uint32_t batch = 0;
  uint32_t stream = 0;
  uint64_t seq = 0;
  WallNanos time = 0;
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
  std::string_view msg_id;
  bool sealed = false;  ///< encrypted on disk; what is read so must be opened before its views are looked at
  bool is_short = false;  ///< has the short header
};

/// Whether the short header can say it all: a message of usual size.
constexpr bool fits_short(const Record& r) {
  return r.type == RecordType::kMessage && r.time >= 0 && r.seq <= UINT32_MAX && r.stream <= UINT16_MAX && r.payload.size() <= UINT16_MAX &&
         r.headers.size() <= UINT16_MAX && r.subject.size() <= UINT8_MAX && r.msg_id.size() <= UINT8_MAX;
}
inline size_t header_size(const Record& r) {
  if (!r.is_short) return kRecordHeader;
  return r.headers.empty() && r.msg_id.empty() ? kShortHeader : kShortHeaderMore;
}
/// Bytes the record takes, padding included.
inline size_t record_size(const Record& r) {
  const size_t body = r.subject.size() + r.headers.size() + r.payload.size() + r.msg_id.size();
  return std::max(kRecordHeader, align8(header_size(r) + body + (r.sealed ? Sealer::kSeal_bytes : 0)));
}
/// `into` has record_size(r) bytes. `sealer`: needed for one that is `sealed`.
void encode_record(std::byte* into, size_t size, const Record& r, uint64_t seed, Sealer* sealer = nullptr);
/// Decrypts where it stands a whole record that decode_record or parse_record took; its views then show what was written. True
/// also when it is not encrypted; false when no key fits (`sealer` null: none is known).
[[nodiscard]] bool open_record(std::byte* record, uint64_t seed, Sealer* sealer);
/// Size that the header at the front of `bytes` claims; 0 when it can't be a record's (mark, type,
/// bounds, or fewer than kRecordHeader bytes). May be larger than `bytes`.
size_t peek_record_size(std::span<const std::byte> bytes);
/// nullopt when it does not fit in `bytes` or the checksum differs.
std::optional<Record> decode_record(std::span<const std::byte> bytes, uint64_t seed);
/// The same without the checksum, for bytes that never left memory.
std::optional<Record> parse_record(std::span<const std::byte> bytes);
/// What StreamState::bytes counts for a message on file.
uint32_t accounted_bytes(const Record& r);

struct SeqRange {
  uint64_t first = 0;
  uint64_t last = 0;  ///< in
};
inline constexpr size_t kRange = 16;  ///< bytes of one in a removal's payload
std::string encode_range(const SeqRange& range);
SeqRange decode_range(std::string_view ranges, size_t at);

struct FileHeader {
  uint32_t magic = 0;
  uint32_t version = kVersion;
  uint64_t store_id = 0;
  uint64_t number = 0;
  uint64_t first_batch = 0;
  uint64_t proved = 0;  ///< highest batch that was on disk when the file began
  uint64_t key_id = 0;  ///< kSealedVersion: of the key that its records are encrypted with
};
/// Fills the whole block of kBlock bytes.
void encode_file_header(std::byte* into, const FileHeader& header);
/// `bytes`: the first block. nullopt when no copy has this magic and a fitting checksum.
std::optional<FileHeader> decode_file_header(std::span<const std::byte> bytes, uint32_t magic);

struct BatchHeader {
  uint32_t version = kVersion;
  uint64_t store_id = 0;
  uint64_t generation = 0;
  uint64_t number = 0;
  uint64_t file_first_batch = 0;
  uint64_t durable = 0;
  uint64_t length = 0;
  uint64_t last_commit = 0;
  uint32_t count = 0;
  uint64_t next_stream = 1;
  uint64_t next_consumer = 1;
  uint64_t next_file = 1;
  uint64_t body_checksum = 0;
};
/// `batch` is the whole batch of header.length bytes; fills the header in front, checksums included.
void seal_batch(std::span<std::byte> batch, BatchHeader header);
/// Checks the header alone, against any generation; nullopt when it is none.
std::optional<BatchHeader> decode_batch_header(std::span<const std::byte> bytes);
bool batch_body_matches(std::span<const std::byte> batch, const BatchHeader& header);

}  // namespace sluice::format
