#include "store/segment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/endian.h"
#include "base/limits.h"

namespace sluice {
namespace {

constexpr size_t kEntryBytes = 40;
constexpr size_t kFlushAt = kMiB;
constexpr uint64_t kMaxFooter = 4 * kGiB;

template <class T>
void put(std::vector<std::byte>& out, T value) {
  const size_t at = out.size();
  out.resize(at + sizeof value);
  store_le(out.data() + at, value);
}

/// The footer's bytes, or empty when trailer or footer are damaged.
std::vector<std::byte> read_footer(File& file, uint64_t size, uint64_t seed) {
  std::byte trailer[format::kTrailer];
  if (size < format::kBlock + format::kTrailer) return {};
  auto got = file.read_at(size - format::kTrailer, trailer);
  if (!got || *got != format::kTrailer) return {};
  if (load_le64(trailer + 32) != format::checksum(trailer, 32, seed) ||
      load_le32(trailer + 24) != format::kFooterMagic) {
    return {};
  }
  const uint64_t offset = load_le64(trailer);
  const uint64_t length = load_le64(trailer + 8);
  if (length > kMaxFooter || offset > size || offset + length + format::kTrailer != size) return {};
  std::vector<std::byte> footer(length);
  got = file.read_at(offset, footer);
  if (!got || *got != length || load_le64(trailer + 16) != format::checksum(footer.data(), length, seed)) return {};
  return footer;
}

bool visit_footer(const std::vector<std::byte>& footer,
                  const std::function<void(const SegmentEntry&, std::string_view)>& visit) {
  size_t at = 0;
  const auto left = [&] { return footer.size() - at; };
  if (left() < 4) return false;
  const uint32_t subject_count = load_le32(footer.data());
  at = 4;
  std::vector<std::string_view> subjects;
  for (uint32_t i = 0; i < subject_count; ++i) {
    if (left() < 2) return false;
    const size_t length = load_le16(footer.data() + at);
    at += 2;
    if (left() < length) return false;
    subjects.emplace_back(reinterpret_cast<const char*>(footer.data() + at), length);
    at += length;
  }
  if (left() < 4) return false;
  const uint64_t count = load_le32(footer.data() + at);
  at += 4;
  if (left() != count * kEntryBytes) return false;
  for (uint64_t i = 0; i < count; ++i, at += kEntryBytes) {
    const std::byte* p = footer.data() + at;
    if (load_le32(p + 4) >= subjects.size()) return false;
    visit({load_le32(p), load_le64(p + 8), load_le<WallNanos>(p + 16), load_le64(p + 24), load_le32(p + 32),
           (load_le32(p + 36) & 1) != 0},
          subjects[load_le32(p + 4)]);
  }
  return true;
}

Status scan(File& file, uint64_t seed, SegmentRead& result,
            const std::function<void(const SegmentEntry&, std::string_view)>& visit) {
  std::vector<std::byte> window;
  uint64_t at = format::kBlock;
  bool bad_before = false;
  uint64_t window_at = 0;
  while (at + format::kRecordHeader <= result.size) {
    const auto load = [&](size_t want) -> Status {
      if (at >= window_at && at + want <= window_at + window.size()) return {};
      window.resize(std::max<size_t>(want, kMiB));
      window_at = at;
      auto got = file.read_at(at, window);
      if (!got) return std::unexpected(got.error());
      window.resize(*got);
      return {};
    };
    const auto rest = [&] { return std::span<const std::byte>(window).subspan(at - window_at); };
    if (auto s = load(format::kRecordHeader); !s) return s;
    const size_t size = format::peek_record_size(rest());
    std::optional<format::Record> record;
    if (size != 0 && at + size <= result.size) {
      if (auto s = load(size); !s) return s;
      record = format::decode_record(rest(), seed);
    }
    if (!record) {
      if (!std::exchange(bad_before, true)) ++result.damaged;
      at += 8;
      continue;
    }
    bad_before = false;
    if (record->type == format::RecordType::kMessage) {
      visit({record->stream, record->seq, record->time, at, format::accounted_bytes(*record), !record->msg_id.empty()},
            record->subject);
    }
    at += size;
  }
  return {};
}

}  // namespace

SegmentWriter::SegmentWriter(Disk& disk, std::string dir, uint64_t number, uint64_t store_id)
    : disk_(disk), dir_(std::move(dir)), path_(fmt::format("{}/{:08}.seg", dir_, number)),
      tmp_path_(fmt::format("{}/{:08}.tmp", dir_, number)), number_(number), store_id_(store_id),
      seed_(format::file_seed(store_id, number)) {}

Status SegmentWriter::begin() {
  auto file = disk_.open(tmp_path_, OpenMode::kCreate);
  if (!file) return std::unexpected(file.error());
  file_ = std::move(*file);
  if (auto s = file_->truncate(0); !s) return s;
  buffer_.assign(format::kBlock, std::byte{0});
  format::encode_file_header(buffer_.data(), {format::kSegmentMagic, format::kVersion, store_id_, number_, 0, 0});
  offset_ = format::kBlock;
  return {};
}

Result<uint64_t> SegmentWriter::add(const format::Record& record) {
  format::Record copy = record;
  copy.batch = 0;
  const size_t size = format::record_size(copy);
  const uint64_t where = offset_;
  const size_t at = buffer_.size();
  buffer_.resize(at + size);
  format::encode_record(buffer_.data() + at, size, copy, seed_);
  offset_ += size;
  auto [it, fresh] = subject_numbers_.try_emplace(std::string(record.subject), static_cast<uint32_t>(subjects_.size()));
  if (fresh) subjects_.push_back(&it->first);
  entries_.push_back({{record.stream, record.seq, record.time, where, format::accounted_bytes(record),
                       !record.msg_id.empty()},
                      it->second});
  if (buffer_.size() >= kFlushAt) {
    if (auto s = flush(); !s) return std::unexpected(s.error());
  }
  return where;
}

Status SegmentWriter::flush() {
  if (auto s = file_->write_at(buffer_at_, buffer_); !s) return s;
  buffer_at_ += buffer_.size();
  buffer_.clear();
  return {};
}

void SegmentWriter::put_footer() {
  std::vector<std::byte> footer;
  put(footer, static_cast<uint32_t>(subjects_.size()));
  for (const std::string* subject : subjects_) {
    put(footer, static_cast<uint16_t>(subject->size()));
    const auto* p = reinterpret_cast<const std::byte*>(subject->data());
    footer.insert(footer.end(), p, p + subject->size());
  }
  put(footer, static_cast<uint32_t>(entries_.size()));
  for (const Entry& e : entries_) {
    put(footer, e.entry.stream);
    put(footer, e.subject);
    put(footer, e.entry.seq);
    put(footer, e.entry.time);
    put(footer, e.entry.offset);
    put(footer, e.entry.accounted_bytes);
    put(footer, uint32_t{e.entry.has_msg_id ? 1U : 0U});
  }
  std::vector<std::byte> trailer;
  put(trailer, offset_);
  put(trailer, static_cast<uint64_t>(footer.size()));
  put(trailer, format::checksum(footer.data(), footer.size(), seed_));
  put(trailer, format::kFooterMagic);
  put(trailer, format::kVersion);
  put(trailer, format::checksum(trailer.data(), 32, seed_));
  buffer_.insert(buffer_.end(), footer.begin(), footer.end());
  buffer_.insert(buffer_.end(), trailer.begin(), trailer.end());
  offset_ += footer.size() + trailer.size();
}

Status SegmentWriter::finish() {
  put_footer();
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

Result<SegmentRead> read_segment(File& file, uint64_t number, uint64_t store_id,
                                 const std::function<void(const SegmentEntry&, std::string_view)>& visit) {
  SegmentRead result;
  auto size = file.size();
  if (!size) return std::unexpected(size.error());
  result.size = *size;
  const uint64_t seed = format::file_seed(store_id, number);
  const auto footer = read_footer(file, result.size, seed);
  if (!footer.empty()) {
    if (!visit_footer(footer, visit)) return fail(Errc::kCorrupt, "footer with a good checksum does not parse");
    return result;
  }
  result.scanned = true;
  if (auto s = scan(file, seed, result, visit); !s) return std::unexpected(s.error());
  return result;
}

}  // namespace sluice
