#include "store/erasure.h"

#include "base/endian.h"
#include "base/limits.h"
#include "store/packed.h"
#include "store/segment.h"
#include "store/segment_repair.h"

namespace sluice {

using format::Record;
using format::RecordType;

namespace {
constexpr size_t kIntent = 32;
}  // namespace

std::string Erasure::encode() const {
  std::string bytes(kIntent, '\0');
  store_le64(bytes.data(), file);
  store_le64(bytes.data() + 8, offset);
  store_le64(bytes.data() + 16, size);
  store_le64(bytes.data() + 24, batch);
  return bytes;
}

std::optional<Erasure> Erasure::decode(const Record& intent) {
  if (intent.type != RecordType::kErase || intent.payload.size() != kIntent || intent.seq == 0) return std::nullopt;
  const char* p = intent.payload.data();
  Erasure e;
  e.stream = intent.stream;
  e.seq = intent.seq;
  e.file = load_le64(p);
  e.offset = load_le64(p + 8);
  e.size = load_le64(p + 16);
  e.batch = static_cast<uint32_t>(load_le64(p + 24));
  if (e.size < format::kRecordHeader || e.size % 8 != 0 || e.size > 4 * kMaxRecord_bytes) return std::nullopt;
  return e;
}

std::vector<std::byte> erased_record(const Erasure& e, uint64_t seed) {
  const std::string zeros(e.size - format::kRecordHeader, '\0');
  Record blank;
  blank.type = RecordType::kErased;
  blank.batch = e.batch;
  blank.stream = e.stream;
  blank.seq = e.seq;
  blank.payload = zeros;
  std::vector<std::byte> bytes(e.size);
  format::encode_record(bytes.data(), bytes.size(), blank, seed);
  return bytes;
}

namespace {

/// True: pages, parity and tables of an erased record fit each other.
Result<bool> settled(SegmentPages& pages, const format::SegmentTrailer& trailer, uint64_t offset, uint64_t size) {
  for (uint64_t page = offset / format::kBlock; page <= (offset + size - 1) / format::kBlock; ++page) {
    for (const uint64_t look : {page, uint64_t{trailer.pages} + trailer.parity().parity_of(static_cast<uint32_t>(page))}) {
      auto fits = pages.fits_now(static_cast<uint32_t>(look));
      if (!fits) return std::unexpected(fits.error());
      if (!*fits) return false;
    }
  }
  return true;
}

/// The bytes of the record at a place, as long as its header says, or as the intent says when that is not to be read.
Result<std::vector<std::byte>> read_target(File& file, const Erasure& e, uint64_t offset) {
  std::vector<std::byte> bytes(format::kRecordHeader);
  auto got = file.read_at(offset, bytes);
  if (!got) return std::unexpected(got.error());
  const size_t claimed = *got == bytes.size() ? format::peek_record_size(bytes) : 0;
  bytes.resize(claimed != 0 ? claimed : e.size);
  got = file.read_at(offset, bytes);
  if (!got) return std::unexpected(got.error());
  bytes.resize(*got);
  return bytes;
}

Status erase_in_journal(File& file, const Erasure& e, const ErasureTarget& target) {
  auto now = read_target(file, e, target.offset);
  if (!now) return std::unexpected(now.error());
  const auto record = format::decode_record(*now, target.seed);
  // Another good record: the place was given to something else. A bad one is ours, torn by a crash.
  if (record && (record->stream != e.stream || record->seq != e.seq || record->type == RecordType::kErased)) return {};
  if (auto s = file.write_at(target.offset, erased_record(e, target.seed)); !s) return s;
  return file.sync();
}

/// A crash can leave a message in the journal file that it was copied from, and a retirement that has copied it does for a while.
Status erase_copies_in_journal(File& file, const Erasure& e, const ErasureTarget& target) {
  std::vector<std::pair<uint64_t, Erasure>> copies;
  auto scanned = scan_records(file, format::kBlock, target.end, target.seed,
                              [&](const Record& r, uint64_t offset, std::span<std::byte> bytes) {
    if (r.type != RecordType::kMessage || r.stream != e.stream || r.seq != e.seq) return;
    Erasure copy = e;
    copy.size = bytes.size();
    copy.batch = r.batch;
    copies.emplace_back(offset, copy);
  });
  if (!scanned) return std::unexpected(scanned.error());
  for (const auto& [offset, copy] : copies) {
    if (auto s = file.write_at(offset, erased_record(copy, target.seed)); !s) return s;
  }
  return copies.empty() ? Status{} : file.sync();
}

bool erased_in(const Record& record, uint64_t seq) {
  if (!format::is_run(record.type)) return record.type == RecordType::kErased;
  bool erased = false;
  if (const auto run = format::unpack(record)) {
    format::each_in_run(*run, [&](const Record& r, std::span<const std::byte>) {
      erased |= r.seq == seq && r.type == RecordType::kErased;
    });
  }
  return erased;
}

Status erase_in_segment(File& file, Erasure e, const ErasureTarget& target, Sealer* sealer) {
  e.batch = 0;
  SegmentPages pages(file, *target.trailer);
  for (const bool mended : {false, true}) {
    auto now = read_target(file, e, target.offset);
    if (!now) return std::unexpected(now.error());
    const auto record = format::decode_record(*now, target.seed);
    if (!record && !mended) {  // damaged, or torn by a crash: the parity may know it
      for (uint64_t page = target.offset / format::kBlock; page <= (target.offset + now->size() - 1) / format::kBlock; ++page) {
        if (page >= target.trailer->pages) break;
        if (auto s = pages.check(static_cast<uint32_t>(page)); !s) return std::unexpected(s.error());
      }
      continue;
    }
    if (!record) return pages.overwrite(target.offset, erased_record(e, target.seed), false);
    if (record->stream != e.stream || (!format::is_run(record->type) && record->seq != e.seq)) return {};
    std::vector<std::byte> opened;
    auto plain = record;
    if (format::is_run(record->type)) {  // opened beside: what stands there may have to be written again as it is
      opened = *now;
      if (!format::open_record(opened.data(), target.seed, sealer)) return fail(Errc::kCorrupt, "no key fits the packed record");
      plain = format::parse_record(opened);
    }
    const bool erased = erased_in(*plain, e.seq);
    if (erased) {
      auto done = settled(pages, *target.trailer, target.offset, now->size());
      if (!done) return std::unexpected(done.error());
      if (*done) return {};
    }
    if (!format::is_run(record->type)) {
      e.size = now->size();
      return pages.overwrite(target.offset, erased_record(e, target.seed), erased);
    }
    if (erased) return pages.overwrite(target.offset, *now, true);
    const auto packed = format::pack_without(*plain, e.seq, target.seed, sealer);
    if (!packed) return fail(Errc::kUnsupported, "the packed record has no room for the erased message");
    return pages.overwrite(target.offset, *packed, false);
  }
  return {};
}

}  // namespace

Status run_erasure(Disk& disk, const Erasure& erasure, const std::vector<ErasureTarget>& targets,
                   const std::shared_ptr<const SealingKeys>& keys) {
  const auto sealer = keys == nullptr ? nullptr : std::make_unique<Sealer>(keys);
  for (const ErasureTarget& target : targets) {
    auto file = disk.open(target.path, OpenMode::kReadWrite);
    if (!file) return std::unexpected(file.error());
    const Status done = target.trailer       ? erase_in_segment(**file, erasure, target, sealer.get())
                        : target.offset == 0 ? erase_copies_in_journal(**file, erasure, target)
                                             : erase_in_journal(**file, erasure, target);
    if (!done) return done;
  }
  return {};
}

}  // namespace sluice
