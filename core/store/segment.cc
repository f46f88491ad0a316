#include "store/segment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"
#include "base/limits.h"
#include "store/packed.h"
#include "store/segment_repair.h"

namespace sluice {

using format::kBlock;

namespace {

constexpr size_t kFlushAt = kMiB;

/// The place of the trailer before the second table, from the size of the file alone.
Result<format::SegmentTrailer> find_first_trailer(File& file, uint64_t pages, uint64_t number, uint64_t store_id) {
  std::vector<std::byte> page(kBlock);
  for (uint64_t table = 1; table + 2 < pages && table <= UINT32_MAX / format::kChecksPerPage; ++table) {
    const uint64_t at = pages - 2 - table;
    auto got = file.read_at(at * kBlock, page);
    if (!got) return std::unexpected(got.error());
    if (*got != kBlock) break;
    const auto trailer = format::decode_trailer(page, store_id, number);
    if (trailer && trailer->all_pages() == pages && trailer->table_pages == table) return *trailer;
  }
  return fail(Errc::kCorrupt, "no intact trailer");
}

}  // namespace

Result<format::SegmentTrailer> read_trailer(File& file, uint64_t size, uint64_t number, uint64_t store_id) {
  if (size < 4 * kBlock || size % kBlock != 0) return fail(Errc::kCorrupt, "size is not that of a segment");
  std::vector<std::byte> page(kBlock);
  auto got = file.read_at(size - kBlock, page);
  if (!got) return std::unexpected(got.error());
  const auto trailer = format::decode_trailer(page, store_id, number);
  if (trailer && trailer->all_pages() * kBlock == size) return *trailer;
  return find_first_trailer(file, size / kBlock, number, store_id);
}

Result<std::vector<std::byte>> read_summary(File& file, const format::SegmentTrailer& trailer, uint64_t seed, Sealer* sealer) {
  std::vector<std::byte> summary(trailer.summary_length);
  auto got = file.read_at(uint64_t{trailer.first_summary_page} * kBlock, summary);
  if (!got) return std::unexpected(got.error());
  if (*got != summary.size() || format::checksum(summary.data(), summary.size(), seed) != trailer.summary_checksum ||
      (trailer.sealed() && (sealer == nullptr || !format::decrypt_summary(summary, seed, *sealer))) ||
      !format::read_summary_parts(summary, [](const format::PartSummary&) {})) {
    return fail(Errc::kCorrupt, "summary damaged");
  }
  return summary;
}

namespace {
/// At a place without a good record: what is intact of a run that may begin there.
void visit_salvaged(std::span<const std::byte> bytes, uint64_t seed, uint64_t at, const RecordVisit& visit) {
  std::vector<std::byte> records = format::salvage_run(bytes.first(std::min(bytes.size(), kBlock - at % kBlock)), seed);
  format::each_in_run(records, [&](const format::Record& r, std::span<const std::byte> its) {
    visit(r, at, std::span(records).subspan(static_cast<size_t>(its.data() - records.data()), its.size()));
  });
}
}  // namespace

Result<uint64_t> scan_records(File& file, uint64_t begin, uint64_t end, uint64_t seed, const RecordVisit& visit) {
  std::vector<std::byte> window;
  uint64_t window_at = 0;
  uint64_t damaged = 0;
  bool bad_before = false;
  for (uint64_t at = begin; at + format::kRecordHeader <= end;) {
    const auto load = [&](size_t want) -> Status {
      if (at >= window_at && at + want <= window_at + window.size()) return {};
      window.resize(std::min<uint64_t>(std::max<size_t>(want, kMiB), end - at));
      window_at = at;
      auto got = file.read_at(at, window);
      if (!got) return std::unexpected(got.error());
      window.resize(*got);
      return {};
    };
    const auto rest = [&] {
      return std::span<std::byte>(window).subspan(std::min<size_t>(at - window_at, window.size()));
    };
    if (auto s = load(format::kRecordHeader); !s) return std::unexpected(s.error());
    const size_t size = format::peek_record_size(rest());
    std::optional<format::Record> record;
    if (size != 0 && at + size <= end) {
      if (auto s = load(size); !s) return std::unexpected(s.error());
      record = format::decode_record(rest(), seed);
    }
    if (!record) {
      if (!std::exchange(bad_before, true)) ++damaged;
      if (auto s = load(std::min<uint64_t>(kBlock - at % kBlock, end - at)); !s) return std::unexpected(s.error());
      visit_salvaged(rest(), seed, at, visit);
      at += 8;
      continue;
    }
    bad_before = false;
    visit(*record, at, rest().first(size));
    at += size;
  }
  return damaged;
}

namespace {

/// Makes shape and summary from the records alone.
Status open_by_scan(File& file, OpenedSegment& opened, uint64_t seed, Sealer* sealer) {
  struct Found {
    SegmentEntry entry;
    WallNanos time;
    uint32_t subject;
  };
  std::vector<Found> found;
  std::unordered_map<std::string, uint32_t> numbers;
  std::vector<const std::string*> subjects;
  const auto take = [&](const format::Record& r, uint64_t offset) {
    if (r.type != format::RecordType::kMessage || r.seq == 0) return;
    const auto [it, fresh] = numbers.try_emplace(std::string(r.subject), static_cast<uint32_t>(subjects.size()));
    if (fresh) subjects.push_back(&it->first);
    found.push_back({{r.stream, {r.seq, offset, format::accounted_bytes(r), format::subject_hash(r.subject)}}, r.time,
                     it->second});
  };
  auto damaged = scan_records(file, kBlock, opened.size, seed,
                              [&](const format::Record& r, uint64_t offset, std::span<std::byte> bytes) {
    if (!format::open_record(bytes.data(), seed, sealer)) return;
    if (!format::is_run(r.type)) return take(r, offset);
    if (const auto run = format::unpack(r)) {
      format::each_in_run(*run, [&](const format::Record& inner, std::span<const std::byte>) { take(inner, offset); });
    }
  });
  if (!damaged) return std::unexpected(damaged.error());
  opened.damaged = *damaged;
  // A parity page can be the copy of a page: the first place of a message is its own.
  const auto key = [](const Found& f) { return std::pair(f.entry.stream, f.entry.at.seq); };
  std::stable_sort(found.begin(), found.end(), [&](const Found& a, const Found& b) { return key(a) < key(b); });
  found.erase(std::unique(found.begin(), found.end(), [&](const Found& a, const Found& b) { return key(a) == key(b); }),
              found.end());
  auto shape = std::make_shared<SegmentShape>();
  format::SummaryBuilder builder;
  for (const Found& f : found) {
    shape->resident.push_back(f.entry);
    builder.add(f.entry.stream, f.entry.at.seq, f.time, *subjects[f.subject], f.entry.at.accounted_bytes);
  }
  opened.summary = builder.finish();
  opened.shape = std::move(shape);
  opened.scanned = true;
  return {};
}

}  // namespace

namespace {
uint32_t mend_summary(File& file, const format::SegmentTrailer& trailer) {
  SegmentPages pages(file, trailer);
  uint32_t repaired = 0;
  for (uint32_t page = trailer.first_summary_page; page < trailer.pages; ++page) {
    const auto state = pages.check(page);
    if (!state) return repaired;  // not open for writing
    if (*state == PageState::kRepaired) ++repaired;
  }
  return repaired;
}
}  // namespace

Result<std::vector<SegmentEntry>> scan_segment(File& file, uint64_t size, uint64_t seed, Sealer* sealer) {
  OpenedSegment opened;
  opened.size = size;
  if (auto s = open_by_scan(file, opened, seed, sealer); !s) return std::unexpected(s.error());
  return opened.shape->resident;
}

Result<OpenedSegment> open_segment(File& file, uint64_t number, uint64_t store_id, Sealer* sealer) {
  OpenedSegment opened;
  auto size = file.size();
  if (!size) return std::unexpected(size.error());
  opened.size = *size;
  std::vector<std::byte> head(kBlock);
  auto got = file.read_at(0, head);
  if (!got) return std::unexpected(got.error());
  head.resize(*got);
  if (const auto header = format::decode_file_header(head, format::kSegmentMagic)) {
    if (header->store_id != store_id || header->number != number) return fail(Errc::kCorrupt, "a segment of another store or number");
    opened.version = header->version;
  }
  const uint64_t seed = format::file_seed(store_id, number);
  if (opened.version != 1) {
    auto trailer = read_trailer(file, opened.size, number, store_id);
    if (!trailer && trailer.error().code != Errc::kCorrupt) return std::unexpected(trailer.error());
    if (trailer) {
      auto summary = read_summary(file, *trailer, seed, sealer);
      if (!summary && summary.error().code != Errc::kCorrupt) return std::unexpected(summary.error());
      if (!summary && (opened.repaired = mend_summary(file, *trailer)) != 0) {
        summary = read_summary(file, *trailer, seed, sealer);
      }
      if (summary) {
        opened.version = trailer->version;
        opened.summary = std::move(*summary);
        opened.shape = std::make_shared<SegmentShape>(SegmentShape{*trailer, {}});
        return opened;
      }
    }
  }
  if (auto s = open_by_scan(file, opened, seed, sealer); !s) return std::unexpected(s.error());
  return opened;
}

// -- writing

SegmentWriter::SegmentWriter(Disk& disk, std::string dir, uint64_t number, uint64_t store_id, Sealer* sealer)
    : disk_(disk), dir_(std::move(dir)), path_(fmt::format("{}/{:08}.seg", dir_, number)),
      tmp_path_(fmt::format("{}/{:08}.tmp", dir_, number)), seed_(format::file_seed(store_id, number)), sealer_(sealer) {
  if (sealer_ != nullptr) trailer_.version = format::kSealedVersion;
  trailer_.store_id = store_id;
  trailer_.number = number;
}

Status SegmentWriter::begin() {
  auto file = disk_.open(tmp_path_, OpenMode::kCreate);
  if (!file) return std::unexpected(file.error());
  file_ = std::move(*file);
  if (auto s = file_->truncate(0); !s) return s;
  buffer_.resize(kBlock);
  format::encode_file_header(buffer_.data(), {.magic = format::kSegmentMagic, .version = trailer_.version,
                                              .store_id = trailer_.store_id, .number = trailer_.number,
                                              .key_id = sealer_ == nullptr ? 0 : sealer_->keys().keys.front().id});
  offset_ = kBlock;
  return {};
}

void SegmentWriter::put(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  offset_ += bytes.size();
}

void SegmentWriter::pad_to_page() {
  const uint64_t padded = format::align_block(offset_);
  buffer_.resize(buffer_.size() + (padded - offset_));
  offset_ = padded;
}

/// Writes the whole pages of the buffer.
Status SegmentWriter::flush() {
  const size_t whole = buffer_.size() / kBlock * kBlock;
  for (size_t at = 0; at < whole; at += kBlock) {
    const std::byte* page = buffer_.data() + at;
    const auto number = static_cast<uint32_t>(checks_.size());
    checks_.push_back(format::checksum(page, kBlock, seed_ ^ number));
    if (!protecting_) continue;
    const size_t parity = size_t{trailer_.parity().parity_of(number)} * kBlock;
    if (parity_.size() < parity + kBlock) parity_.resize(parity + kBlock);
    format::xor_into(parity_.data() + parity, page);
  }
  if (auto s = file_->write_at(buffer_at_, {buffer_.data(), whole}); !s) return s;
  if (whole >= kFlushAt) {
    if (auto s = file_->sync(); !s) return s;  // in steps, so that no commit waits behind a whole segment
  }
  buffer_at_ += whole;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(whole));
  return {};
}

Status SegmentWriter::add(const format::Record& record) {
  if (format::record_size(record) > format::kMostInRun_bytes) {
    if (auto s = end_run(); !s) return s;
    return add_alone(record);
  }
  if (run_ && (run_->stream() != record.stream || !run_->add(record))) {
    if (auto s = end_run(); !s) return s;
  }
  if (!run_) {
    run_.emplace(kBlock - offset_ % kBlock, seed_, sealer_);
    if (!run_->add(record)) {  // what is left of the page is too little
      run_.reset();
      return add_alone(record);
    }
    first_alone_ = encode_alone(record);
  }
  note(record, offset_);
  return {};
}

std::vector<std::byte> SegmentWriter::encode_alone(const format::Record& record) const {
  format::Record copy = record;
  copy.batch = 0;
  copy.sealed = sealer_ != nullptr;
  copy.is_short = format::fits_short(copy);
  std::vector<std::byte> bytes(format::record_size(copy));
  format::encode_record(bytes.data(), bytes.size(), copy, seed_, sealer_);
  return bytes;
}

Status SegmentWriter::add_alone(const format::Record& record) {
  note(record, offset_);
  put(encode_alone(record));
  return buffer_.size() >= kFlushAt ? flush() : Status();
}

/// Writes the run at hand, if there is one.
Status SegmentWriter::end_run() {
  if (!run_) return {};
  put(run_->count() == 1 ? first_alone_ : run_->finish());
  run_.reset();
  return buffer_.size() >= kFlushAt ? flush() : Status();
}

void SegmentWriter::note(const format::Record& record, uint64_t where) {
  const uint32_t accounted = format::accounted_bytes(record);
  SLUICE_CHECK(entries_.empty() || std::pair(entries_.back().stream, entries_.back().at.seq) < std::pair(record.stream, record.seq));
  entries_.push_back({record.stream, {record.seq, where, accounted, format::subject_hash(record.subject)}});
  builder_.add(record.stream, record.seq, record.time, record.subject, accounted);
}

Status SegmentWriter::add_packed(const std::vector<format::Record>& records) {
  if (auto s = end_run(); !s) return s;
  std::vector<std::byte> run;
  for (format::Record r : records) {
    r.batch = 0;
    r.sealed = false;
    r.is_short = format::fits_short(r);
    const size_t at = run.size();
    run.resize(at + format::record_size(r));
    format::encode_record(run.data() + at, run.size() - at, r, seed_);
  }
  const std::vector<std::byte> packed = format::pack(run, records.front(), seed_, sealer_);
  if (packed.empty()) {
    for (const format::Record& r : records) {
      if (auto s = add(r); !s) return s;
    }
    return {};
  }
  const uint64_t where = offset_;
  put(packed);
  for (const format::Record& r : records) note(r, where);
  return buffer_.size() >= kFlushAt ? flush() : Status();
}

void SegmentWriter::put_index() {
  trailer_.first_index_page = static_cast<uint32_t>(offset_ / kBlock);
  trailer_.entries = static_cast<uint32_t>(entries_.size());
  std::vector<std::byte> page(kBlock);
  const uint32_t most = trailer_.entries_per_page();
  for (size_t at = 0; at < entries_.size(); at += most) {
    const size_t used = std::min<size_t>(most, entries_.size() - at);
    const auto number = static_cast<uint32_t>(at / most);
    std::fill(page.begin(), page.end(), std::byte{0});
    for (size_t i = 0; i < used; ++i) format::put_entry(page.data(), static_cast<uint32_t>(i), entries_[at + i].at);
    if (sealer_ != nullptr) format::encrypt_entries(page.data(), number, seed_, *sealer_);
    format::seal_page(page.data(), number, static_cast<uint32_t>(used), seed_);
    put(page);
  }
}

void SegmentWriter::put_parity() {
  trailer_.pages = static_cast<uint32_t>(offset_ / kBlock);
  trailer_.parity_pages = trailer_.parity().parity_pages_of(trailer_.pages);
  SLUICE_CHECK(parity_.size() == size_t{trailer_.parity_pages} * kBlock);
  protecting_ = false;
  put(parity_);
}

void SegmentWriter::put_tables() {
  const uint64_t checked = checks_.size();
  trailer_.table_pages = static_cast<uint32_t>((checked + format::kChecksPerPage - 1) / format::kChecksPerPage);
  std::vector<std::byte> table(size_t{trailer_.table_pages} * kBlock + kBlock);
  for (uint32_t n = 0; n < trailer_.table_pages; ++n) {
    std::byte* page = table.data() + size_t{n} * kBlock;
    const uint64_t begin = uint64_t{n} * format::kChecksPerPage;
    const auto used = static_cast<uint32_t>(std::min<uint64_t>(format::kChecksPerPage, checked - begin));
    for (uint32_t i = 0; i < used; ++i) store_le64(page + format::kPageHead + size_t{i} * 8, checks_[begin + i]);
    format::seal_page(page, n, used, seed_);
  }
  format::encode_trailer(table.data() + size_t{trailer_.table_pages} * kBlock, trailer_);
  put(table);
  put(table);
}

Status SegmentWriter::finish() {
  if (auto s = end_run(); !s) return s;
  trailer_.record_bytes = offset_ - kBlock;
  pad_to_page();
  put_index();
  summary_ = builder_.finish();
  trailer_.first_summary_page = static_cast<uint32_t>(offset_ / kBlock);
  std::vector<std::byte> written = summary_;
  if (sealer_ != nullptr) format::encrypt_summary(written, seed_, *sealer_);
  trailer_.summary_length = written.size();
  trailer_.summary_checksum = format::checksum(written.data(), written.size(), seed_);
  put(written);
  pad_to_page();
  if (auto s = flush(); !s) return s;
  put_parity();
  if (auto s = flush(); !s) return s;
  put_tables();
  if (auto s = flush(); !s) return s;
  if (auto s = file_->sync(); !s) return s;
  file_.reset();
  if (auto s = disk_.rename(tmp_path_, path_); !s) return s;
  return disk_.sync_dir(dir_);
}

void SegmentWriter::abandon() {
  file_.reset();
  (void)disk_.remove(tmp_path_);
}

}  // namespace sluice
