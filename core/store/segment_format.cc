#include "store/segment_format.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"

namespace sluice::format {

// -- pages with a head

void seal_page(std::byte* page, uint32_t number, uint32_t used, uint64_t seed) {
  store_le32(page + 8, number);
  store_le32(page + 12, used);
  store_le64(page, checksum(page + 8, kBlock - 8, seed ^ number));
}

std::optional<uint32_t> page_used(std::span<const std::byte> page, uint32_t number, uint32_t most, uint64_t seed) {
  if (page.size() < kBlock || load_le32(page.data() + 8) != number) return std::nullopt;
  const uint32_t used = load_le32(page.data() + 12);
  if (used > most || load_le64(page.data()) != checksum(page.data() + 8, kBlock - 8, seed ^ number)) return std::nullopt;
  return used;
}

void put_entry(std::byte* page, uint32_t slot, const IndexEntry& entry) {
  std::byte* p = page + kPageHead + size_t{slot} * kIndexEntry;
  store_le64(p, entry.seq);
  store_le32(p + 8, static_cast<uint32_t>(entry.offset / 8));
  store_le32(p + 12, entry.accounted_bytes);
  store_le32(p + 16, entry.subject_hash);
  store_le32(p + 20, 0);
}

IndexEntry get_entry(const std::byte* page, uint32_t slot) {
  const std::byte* p = page + kPageHead + size_t{slot} * kIndexEntry;
  return {load_le64(p), uint64_t{load_le32(p + 8)} * 8, load_le32(p + 12), load_le32(p + 16)};
}

namespace {

constexpr size_t kSealedEntries_bytes = size_t{kSealedEntriesPerPage} * kIndexEntry;

/// Which page of which file: what the seal of a page or of a summary vouches for beside its bytes.
std::array<std::byte, 16> place_of(uint64_t seed, uint64_t number) {
  std::array<std::byte, 16> place;
  store_le64(place.data(), seed);
  store_le64(place.data() + 8, number);
  return place;
}
constexpr uint64_t kSummaryPlace = UINT64_MAX;

}  // namespace

void encrypt_entries(std::byte* page, uint32_t number, uint64_t seed, Sealer& sealer) {
  std::byte* entries = page + kPageHead;
  sealer.seal({entries, kSealedEntries_bytes}, place_of(seed, number), entries + kSealedEntries_bytes);
}

bool decrypt_entries(std::byte* page, uint32_t number, uint64_t seed, Sealer& sealer) {
  std::byte* entries = page + kPageHead;
  return sealer.open({entries, kSealedEntries_bytes}, place_of(seed, number), entries + kSealedEntries_bytes);
}

void encrypt_summary(std::vector<std::byte>& summary, uint64_t seed, Sealer& sealer) {
  const size_t size = summary.size();
  summary.resize(size + Sealer::kSeal_bytes);
  sealer.seal({summary.data(), size}, place_of(seed, kSummaryPlace), summary.data() + size);
}

bool decrypt_summary(std::vector<std::byte>& summary, uint64_t seed, Sealer& sealer) {
  if (summary.size() < Sealer::kSeal_bytes) return false;
  const size_t size = summary.size() - Sealer::kSeal_bytes;
  if (!sealer.open({summary.data(), size}, place_of(seed, kSummaryPlace), summary.data() + size)) return false;
  summary.resize(size);
  return true;
}

// -- trailer

namespace {
constexpr size_t kTrailerCovered = 88;

bool sane(const SegmentTrailer& t) {
  const uint64_t index_pages = (uint64_t{t.entries} + t.entries_per_page() - 1) / t.entries_per_page();
  const uint64_t checked = uint64_t{t.pages} + t.parity_pages;
  return t.pages != 0 && t.parity_pages == t.parity().parity_pages_of(t.pages) &&
         t.table_pages == (checked + kChecksPerPage - 1) / kChecksPerPage && t.first_index_page >= 1 &&
         t.first_index_page + index_pages == t.first_summary_page &&
         t.first_summary_page + align_block(t.summary_length) / kBlock == t.pages &&
         t.summary_length <= uint64_t{t.pages} * kBlock && t.record_bytes <= uint64_t{t.pages} * kBlock;
}
}  // namespace

void encode_trailer(std::byte* page, const SegmentTrailer& t) {
  std::memset(page, 0, kBlock);
  store_le32(page, kTrailerMagic);
  store_le32(page + 4, t.version);
  store_le64(page + 8, t.store_id);
  store_le64(page + 16, t.number);
  store_le32(page + 24, t.pages);
  store_le32(page + 28, t.parity_pages);
  store_le32(page + 32, t.table_pages);
  store_le32(page + 36, t.first_index_page);
  store_le32(page + 40, t.entries);
  store_le32(page + 44, t.first_summary_page);
  store_le64(page + 48, t.summary_length);
  store_le64(page + 56, t.summary_checksum);
  store_le64(page + 64, t.record_bytes);
  store_le64(page + kTrailerCovered, checksum(page, kTrailerCovered, file_seed(t.store_id, t.number)));
}

std::optional<SegmentTrailer> decode_trailer(std::span<const std::byte> page, uint64_t store_id, uint64_t number) {
  if (page.size() < kBlock || load_le32(page.data()) != kTrailerMagic) return std::nullopt;
  const std::byte* p = page.data();
  if (std::any_of(p + kTrailerCovered + 8, p + kBlock, [](std::byte b) { return b != std::byte{0}; })) return std::nullopt;
  if (load_le64(p + kTrailerCovered) != checksum(p, kTrailerCovered, file_seed(store_id, number))) return std::nullopt;
  SegmentTrailer t;
  t.version = load_le32(p + 4);
  t.store_id = load_le64(p + 8);
  t.number = load_le64(p + 16);
  t.pages = load_le32(p + 24);
  t.parity_pages = load_le32(p + 28);
  t.table_pages = load_le32(p + 32);
  t.first_index_page = load_le32(p + 36);
  t.entries = load_le32(p + 40);
  t.first_summary_page = load_le32(p + 44);
  t.summary_length = load_le64(p + 48);
  t.summary_checksum = load_le64(p + 56);
  t.record_bytes = load_le64(p + 64);
  if (t.store_id != store_id || t.number != number || !sane(t)) return std::nullopt;
  return t;
}

// -- who protects whom

ParityLayout parity_layout(uint32_t version) { return {.stripe_pages = version <= 5 ? 256U : 512U}; }

uint32_t ParityLayout::parity_pages_of(uint32_t pages) const {
  return pages / stripe_pages * kGroups + std::min(pages % stripe_pages, kGroups);
}

std::vector<uint32_t> ParityLayout::group_of(uint32_t parity, uint32_t pages) const {
  std::vector<uint32_t> members;
  const uint32_t stripe = parity / kGroups * stripe_pages;
  for (uint32_t page = stripe + parity % kGroups; page < stripe + stripe_pages && page < pages; page += kGroups) {
    members.push_back(page);
  }
  return members;
}

void xor_into(std::byte* into, const std::byte* page) {
  for (size_t at = 0; at < kBlock; at += 8) {
    store_le64(into + at, load_le64(into + at) ^ load_le64(page + at));
  }
}

// -- summary

namespace {
constexpr size_t kPartHead = 40;

template <class T>
void put(std::vector<std::byte>& out, T value) {
  const size_t at = out.size();
  out.resize(at + sizeof value);
  store_le(out.data() + at, value);
}
}  // namespace

void SummaryBuilder::add(uint32_t stream, uint64_t seq, WallNanos time, std::string_view subject,
                         uint32_t accounted_bytes) {
  if (part_.entries != 0 && part_.stream != stream) end_part();
  if (part_.entries == 0) {
    part_.stream = stream;
    part_.first_entry = entries_;
    part_.last_time = time;
  }
  ++part_.entries;
  ++entries_;
  part_.bytes += accounted_bytes;
  part_.last_time = std::max(part_.last_time, time);
  if (!part_.ranges.empty() && part_.ranges.back().last + 1 == seq) {
    part_.ranges.back().last = seq;
  } else {
    part_.ranges.push_back({seq, seq});
  }
  Count& count = counts_[std::string(subject)];
  if (count.count++ == 0) count.first = seq;
  count.last = seq;
}

void SummaryBuilder::end_part() {
  put(bytes_, part_.stream);
  put(bytes_, part_.entries);
  put(bytes_, part_.first_entry);
  put(bytes_, static_cast<uint32_t>(counts_.size()));
  put(bytes_, static_cast<uint32_t>(part_.ranges.size()));
  put(bytes_, uint32_t{0});
  put(bytes_, part_.bytes);
  put(bytes_, part_.last_time);
  for (const SeqRange& range : part_.ranges) {
    put(bytes_, range.first);
    put(bytes_, range.last);
  }
  for (const auto& [subject, count] : counts_) {
    put(bytes_, static_cast<uint16_t>(subject.size()));
    const auto* p = reinterpret_cast<const std::byte*>(subject.data());
    bytes_.insert(bytes_.end(), p, p + subject.size());
    put(bytes_, count.count);
    put(bytes_, count.first);
    put(bytes_, count.last);
  }
  ++parts_;
  part_ = {};
  counts_.clear();
}

std::vector<std::byte> SummaryBuilder::finish() {
  if (part_.entries != 0) end_part();
  store_le32(bytes_.data(), parts_);
  return std::move(bytes_);
}

bool read_summary_parts(std::span<const std::byte> summary, const std::function<void(const PartSummary&)>& visit) {
  if (summary.size() < 4) return false;
  const uint32_t parts = load_le32(summary.data());
  size_t at = 4;
  const auto left = [&] { return summary.size() - at; };
  PartSummary part;
  for (uint32_t i = 0; i < parts; ++i) {
    if (left() < kPartHead) return false;
    const std::byte* p = summary.data() + at;
    part.stream = load_le32(p);
    part.entries = load_le32(p + 4);
    part.first_entry = load_le32(p + 8);
    const uint64_t subjects = load_le32(p + 12);
    const uint64_t ranges = load_le32(p + 16);
    part.bytes = load_le64(p + 24);
    part.last_time = load_le<WallNanos>(p + 32);
    at += kPartHead;
    if (ranges == 0 || subjects == 0 || left() < ranges * 16 + subjects * 22) return false;
    part.ranges.clear();
    part.subjects.clear();
    uint64_t covered = 0;
    for (uint64_t r = 0; r < ranges; ++r, at += 16) {
      const SeqRange range{load_le64(summary.data() + at), load_le64(summary.data() + at + 8)};
      const bool rises = part.ranges.empty() || range.first > part.ranges.back().last;
      if (range.first == 0 || range.last < range.first || range.last - range.first >= part.entries || !rises) return false;
      covered += range.last - range.first + 1;
      part.ranges.push_back(range);
    }
    if (covered != part.entries) return false;
    for (uint64_t n = 0; n < subjects; ++n) {
      if (left() < 2) return false;
      const size_t length = load_le16(summary.data() + at);
      if (left() < 22 + length) return false;
      const std::byte* q = summary.data() + at + 2;
      part.subjects.push_back({{reinterpret_cast<const char*>(q), length}, load_le32(q + length), load_le64(q + length + 4),
                               load_le64(q + length + 12)});
      at += 22 + length;
    }
    visit(part);
  }
  return at == summary.size();
}

}  // namespace sluice::format
