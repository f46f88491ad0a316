#include "store/message_run.h"

#include "base/check.h"
#include "base/endian.h"
#include "base/varint.h"

namespace sluice::format {

namespace {
constexpr size_t kMostUnpacked = 128 * 1024;
constexpr size_t kCheck = 4;         ///< bytes in front of each message
constexpr uint64_t kErasedFlag = 1;  ///< in its first number
constexpr uint64_t kMoreFlag = 2;
constexpr int kFlagBits = 2;

/// A message of a run, and where in the payload it stands.
struct Entry {
  Record message;  ///< an erased one has type kErased
  size_t at = 0;
  size_t end = 0;
};

/// What the checksum of a message covers besides its bytes: which message it is, and a subject that stands elsewhere.
uint64_t identity(const Record& message, uint64_t seed) {
  const uint64_t words[3] = {message.stream, message.seq, static_cast<uint64_t>(message.time)};
  return checksum(words, sizeof words, seed) ^ subject_hash(message.subject);
}

uint32_t check_of(const Record& message, std::string_view bytes, uint64_t seed) {
  return static_cast<uint32_t>(checksum(bytes.data(), bytes.size(), identity(message, seed)));
}

std::optional<Entry> parse_entry(const Record& run, size_t at) {
  if (at + kCheck > run.payload.size()) return std::nullopt;
  VarintReader in(run.payload.substr(at + kCheck));
  Entry entry;
  entry.at = at;
  Record& m = entry.message;
  const uint64_t head = in.next();
  m.type = (head & kErasedFlag) != 0 ? RecordType::kErased : RecordType::kMessage;
  m.stream = run.stream;
  m.seq = run.seq + (head >> kFlagBits);
  m.time = wrapping_plus(run.time, unzigzag(in.next()));
  const uint64_t subject = in.next();
  if (m.seq < run.seq || subject > at) return std::nullopt;
  if (subject == 0) {
    m.subject = in.take(in.next());
  } else {
    VarintReader elsewhere(run.payload.substr(subject - 1));
    m.subject = elsewhere.take(elsewhere.next());
    if (!elsewhere.ok()) return std::nullopt;
  }
  const bool more = (head & kMoreFlag) != 0;
  const uint64_t headers = more ? in.next() : 0;
  const uint64_t msg_id = more ? in.next() : 0;
  const uint64_t payload = in.next();
  m.headers = in.take(headers);
  m.payload = in.take(payload);
  m.msg_id = in.take(msg_id);
  if (!in.ok() || m.subject.size() > UINT16_MAX || m.msg_id.size() > UINT16_MAX) return std::nullopt;
  entry.end = run.payload.size() - in.left();
  return entry;
}

bool is_intact(const Record& run, const Entry& entry, uint64_t seed) {
  const std::string_view bytes = run.payload.substr(entry.at, entry.end - entry.at);
  return load_le32(bytes.data()) == check_of(entry.message, bytes.substr(kCheck), seed);
}

/// Type, flags and mark, of which one may be damaged.
bool looks_like_run(std::span<const std::byte> bytes) {
  const bool type = bytes[44] == static_cast<std::byte>(RecordType::kRun);
  const bool mark = load_le16(bytes.data() + 46) == kRecordMark;
  const bool plain = bytes[45] == std::byte{0};
  return int{type} + int{mark} + int{plain} >= 2 && (type || mark);
}

/// @return false when there is no room.
bool append_whole(std::vector<std::byte>& records, Record message) {
  message.is_short = fits_short(message);
  const size_t at = records.size();
  const size_t size = record_size(message);
  if (at + size > kMostUnpacked) return false;
  records.resize(at + size);
  encode_record(records.data() + at, size, message, 0);
  return true;
}

}  // namespace

size_t RunBuilder::record_with(size_t payload) const {
  return align8(kRecordHeader + payload + (sealer_ != nullptr ? Sealer::kSeal_bytes : 0));
}

/// Where a subject stands in the run, + 1; 0 when it is not found, which costs a few bytes and no more.
size_t RunBuilder::find_subject(std::string_view subject, size_t slot) const {
  if (slots_[slot] == 0) return 0;
  VarintReader there(std::string_view(payload_).substr(slots_[slot] - 1));
  return there.take(there.next()) == subject ? slots_[slot] : 0;
}

bool RunBuilder::add(const Record& m) {
  if (count_ == 0) {
    run_.type = RecordType::kRun;
    run_.stream = m.stream;
    run_.seq = m.seq;
    run_.time = m.time;
    run_.sealed = sealer_ != nullptr;
  }
  SLUICE_CHECK(count_ == 0 || (m.stream == run_.stream && m.seq > last_seq_));
  const size_t unpacked = unpacked_ + record_size(m) + kRecordHeader;
  const uint64_t step = m.seq - run_.seq;
  if (unpacked > kMostUnpacked || step > UINT64_MAX >> kFlagBits) return false;
  const size_t at = payload_.size();
  const bool more = !m.headers.empty() || !m.msg_id.empty();
  payload_.append(kCheck, '\0');
  put_varint(payload_, step << kFlagBits | (more ? kMoreFlag : 0));
  put_varint(payload_, zigzag(wrapping_minus(m.time, run_.time)));
  const size_t slot = subject_hash(m.subject) % kSlots;
  const size_t known = find_subject(m.subject, slot);
  put_varint(payload_, known);
  const size_t subject_at = payload_.size();
  if (known == 0) {
    put_varint(payload_, m.subject.size());
    payload_ += m.subject;
  }
  if (more) {
    put_varint(payload_, m.headers.size());
    put_varint(payload_, m.msg_id.size());
  }
  put_varint(payload_, m.payload.size());
  payload_ += m.headers;
  payload_ += m.payload;
  payload_ += m.msg_id;
  if (record_with(payload_.size()) > room_) {
    payload_.resize(at);
    return false;
  }
  store_le32(payload_.data() + at, check_of(m, std::string_view(payload_).substr(at + kCheck), seed_));
  if (known == 0) slots_[slot] = subject_at + 1;
  last_seq_ = m.seq;
  unpacked_ = unpacked;
  ++count_;
  return true;
}

std::vector<std::byte> RunBuilder::finish() {
  SLUICE_CHECK(count_ != 0);
  run_.payload = payload_;
  std::vector<std::byte> bytes(record_size(run_));
  SLUICE_CHECK(bytes.size() <= room_);
  encode_record(bytes.data(), bytes.size(), run_, seed_, sealer_);
  return bytes;
}

std::optional<std::vector<std::byte>> unpack_run(const Record& run) {
  if (run.type != RecordType::kRun) return std::nullopt;
  std::vector<std::byte> records;
  for (size_t at = 0; at < run.payload.size();) {
    const auto entry = parse_entry(run, at);
    if (!entry || !append_whole(records, entry->message)) return std::nullopt;
    at = entry->end;
  }
  return records;
}

std::vector<std::byte> salvage_run(std::span<const std::byte> bytes, uint64_t seed) {
  std::vector<std::byte> records;
  if (bytes.size() < kRecordHeader || bytes.size() > kBlock || !looks_like_run(bytes)) return records;
  Record run;
  run.stream = load_le32(bytes.data() + 12);
  run.seq = load_le64(bytes.data() + 16);
  run.time = load_le<WallNanos>(bytes.data() + 24);
  run.payload = {reinterpret_cast<const char*>(bytes.data()) + kRecordHeader, bytes.size() - kRecordHeader};
  uint64_t before = 0;
  for (size_t at = 0; at < run.payload.size();) {
    const auto entry = parse_entry(run, at);
    if (!entry || entry->message.seq <= before || !is_intact(run, *entry, seed)) {
      ++at;
      continue;
    }
    before = entry->message.seq;
    if (!append_whole(records, entry->message)) break;
    at = entry->end;
  }
  return records;
}

std::optional<std::string> blank_in_run(const Record& run, uint64_t seq, uint64_t seed) {
  std::string payload(run.payload);
  Record changed = run;
  changed.payload = payload;
  for (size_t at = 0; at < payload.size();) {
    const auto entry = parse_entry(changed, at);
    if (!entry) return std::nullopt;
    at = entry->end;
    const Record& m = entry->message;
    if (m.seq != seq) continue;
    const size_t head = entry->at + kCheck;
    const size_t content = m.headers.size() + m.payload.size() + m.msg_id.size();  // they stand one behind the other
    payload[head] = static_cast<char>(payload[head] | static_cast<char>(kErasedFlag));
    payload.replace(entry->end - content, content, content, '\0');
    const uint32_t check = check_of(m, std::string_view(payload).substr(head, entry->end - head), seed);
    store_le32(payload.data() + entry->at, check);
  }
  return payload;
}

}  // namespace sluice::format
