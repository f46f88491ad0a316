#include "store/packed.h"

#include <zstd.h>

#include <algorithm>
#include <string>

#include "base/check.h"
#include "store/message_run.h"

namespace sluice::format {

namespace {
constexpr int kLevel = 3;
constexpr int kTightLevel = 19;
constexpr size_t kSlack = 64;
constexpr size_t kMaxRun = 4 * kPackedRun;
constexpr size_t kMaxPacked = 15 * kBlock;  // touches 16 pages at most: each of another parity group

std::string compress(std::span<const std::byte> run, int level) {
  std::string out(ZSTD_compressBound(run.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), run.data(), run.size(), level);
  SLUICE_CHECK(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

std::vector<std::byte> encode(const Record& record, uint64_t seed, Sealer* sealer) {
  std::vector<std::byte> bytes(record_size(record));
  encode_record(bytes.data(), bytes.size(), record, seed, sealer);
  return bytes;
}
}  // namespace

std::vector<std::byte> pack(std::span<const std::byte> run, const Record& first, uint64_t seed, Sealer* sealer) {
  if (run.size() > kMaxRun) return {};
  const std::string compressed = compress(run, kLevel);
  const std::string slack(kSlack, '\0');
  Record packed;
  packed.type = RecordType::kPacked;
  packed.stream = first.stream;
  packed.seq = first.seq;
  packed.time = static_cast<WallNanos>(run.size());
  packed.headers = slack;
  packed.payload = compressed;
  packed.sealed = sealer != nullptr;
  if (record_size(packed) > run.size() - run.size() / 8 || record_size(packed) > kMaxPacked) return {};
  return encode(packed, seed, sealer);
}

std::optional<std::vector<std::byte>> unpack(const Record& packed) {
  if (packed.type == RecordType::kRun) return unpack_run(packed);
  if (packed.type != RecordType::kPacked || packed.time <= 0 || static_cast<uint64_t>(packed.time) > kMaxRun) return std::nullopt;
  std::vector<std::byte> run(static_cast<size_t>(packed.time));
  const size_t size = ZSTD_decompress(run.data(), run.size(), packed.payload.data(), packed.payload.size());
  if (ZSTD_isError(size) != 0 || size != run.size()) return std::nullopt;
  return run;
}

void each_in_run(std::span<const std::byte> run, const std::function<void(const Record&, std::span<const std::byte>)>& visit) {
  for (size_t at = 0; at < run.size();) {
    const auto record = parse_record(run.subspan(at));
    if (!record) return;
    const size_t size = record_size(*record);
    visit(*record, run.subspan(at, size));
    at += size;
  }
}

std::optional<Record> find_in_run(std::span<const std::byte> run, uint64_t seq, size_t& hint) {
  for (const size_t from : {std::min(hint, run.size()), size_t{0}}) {
    for (size_t at = from; at < run.size();) {
      const auto record = parse_record(run.subspan(at));
      if (!record || record->seq > seq) break;
      at += record_size(*record);
      if (record->seq != seq) continue;
      hint = at;
      return record;
    }
  }
  return std::nullopt;
}

std::optional<std::vector<std::byte>> pack_without(const Record& packed, uint64_t seq, uint64_t seed, Sealer* sealer) {
  Record again = packed;
  if (packed.type == RecordType::kRun) {
    const auto blank = blank_in_run(packed, seq, seed);
    if (!blank) return std::nullopt;
    again.payload = *blank;
    return encode(again, seed, sealer);
  }
  auto run = unpack(packed);
  if (!run) return std::nullopt;
  each_in_run(*run, [&](const Record& r, std::span<const std::byte> bytes) {
    if (r.seq != seq) return;
    const std::string zeros(bytes.size() - kRecordHeader, '\0');
    Record blank;
    blank.type = RecordType::kErased;
    blank.stream = r.stream;
    blank.seq = r.seq;
    blank.payload = zeros;
    encode_record(run->data() + (bytes.data() - run->data()), bytes.size(), blank, seed);
  });
  const size_t room = packed.payload.size() + packed.headers.size();
  std::string compressed = compress(*run, kLevel);
  if (compressed.size() > room) compressed = compress(*run, kTightLevel);
  if (compressed.size() > room) return std::nullopt;
  const std::string slack(room - compressed.size(), '\0');
  again.headers = slack;
  again.payload = compressed;
  return encode(again, seed, sealer);
}

}  // namespace sluice::format
