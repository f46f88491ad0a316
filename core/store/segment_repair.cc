#include "store/segment_repair.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"

namespace sluice {

using format::kBlock;

/// Short at the end of a file that was cut: the rest reads as zeros and fits no checksum.
Result<SegmentPages::Page> SegmentPages::read(uint64_t page) {
  Page bytes(kBlock);
  auto got = file_.read_at(page * kBlock, bytes);
  if (!got) return std::unexpected(got.error());
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(*got), bytes.end(), std::byte{0});
  return bytes;
}

/// The checksum that a page must have, from whichever table is intact.
Result<std::optional<uint64_t>> SegmentPages::expected(uint32_t page) {
  const uint32_t number = page / format::kChecksPerPage;
  for (const int copy : {0, 1}) {
    auto table = read(trailer_.table_page(copy) + number);
    if (!table) return std::unexpected(table.error());
    const auto used = format::page_used(*table, number, format::kChecksPerPage, seed_);
    if (used && page % format::kChecksPerPage < *used) {
      return std::optional(load_le64(table->data() + format::kPageHead + size_t{page % format::kChecksPerPage} * 8));
    }
  }
  return std::optional<uint64_t>();
}

Result<bool> SegmentPages::fits(uint32_t page, const Page& bytes) {
  auto want = expected(page);
  if (!want) return std::unexpected(want.error());
  return *want && **want == checksum_of(page, bytes);
}

Result<bool> SegmentPages::fits_now(uint32_t page) {
  auto bytes = read(page);
  if (!bytes) return std::unexpected(bytes.error());
  return fits(page, *bytes);
}

Result<SegmentPages::Page> SegmentPages::parity_from_members(uint32_t parity) {
  Page sum(kBlock);
  for (const uint32_t member : trailer_.parity().group_of(parity, trailer_.pages)) {
    auto bytes = read(member);
    if (!bytes) return std::unexpected(bytes.error());
    format::xor_into(sum.data(), bytes->data());
  }
  return sum;
}

/// What the page must have been, from the others of its group; nullopt when that fits its checksum neither.
Result<std::optional<SegmentPages::Page>> SegmentPages::rebuild(uint32_t page) {
  Page sum(kBlock);
  if (page >= trailer_.pages) {
    auto parity = parity_from_members(page - trailer_.pages);
    if (!parity) return std::unexpected(parity.error());
    sum = std::move(*parity);
  } else {
    const uint32_t parity = trailer_.parity().parity_of(page);
    auto bytes = read(uint64_t{trailer_.pages} + parity);
    if (!bytes) return std::unexpected(bytes.error());
    sum = std::move(*bytes);
    for (const uint32_t member : trailer_.parity().group_of(parity, trailer_.pages)) {
      if (member == page) continue;
      auto other = read(member);
      if (!other) return std::unexpected(other.error());
      format::xor_into(sum.data(), other->data());
    }
  }
  auto good = fits(page, sum);
  if (!good) return std::unexpected(good.error());
  if (!*good) return std::optional<Page>();
  return std::optional(std::move(sum));
}

Result<PageState> SegmentPages::check(uint32_t page) {
  auto want = expected(page);
  if (!want) return std::unexpected(want.error());
  if (!*want) return PageState::kUnverified;
  const auto bytes = read(page);  // a page that the disk can't read is a damaged one: writing it anew may mend the disk too
  if (bytes && **want == checksum_of(page, *bytes)) return PageState::kGood;
  auto whole = rebuild(page);
  if (!whole) return PageState::kDamaged;
  if (!*whole) return PageState::kDamaged;
  if (auto s = file_.write_at(uint64_t{page} * kBlock, **whole); !s) return std::unexpected(s.error());
  if (auto s = file_.sync(); !s) return std::unexpected(s.error());
  return PageState::kRepaired;
}

Result<uint32_t> SegmentPages::mend_tables() {
  uint32_t mended = 0;
  for (uint32_t number = 0; number <= trailer_.table_pages; ++number) {  // the last one is the trailer
    Page copies[2];
    bool good[2];
    for (const int copy : {0, 1}) {
      auto bytes = read(trailer_.table_page(copy) + number);
      if (!bytes) return std::unexpected(bytes.error());
      copies[copy] = std::move(*bytes);
      good[copy] = number == trailer_.table_pages
                       ? format::decode_trailer(copies[copy], trailer_.store_id, trailer_.number).has_value()
                       : format::page_used(copies[copy], number, format::kChecksPerPage, seed_).has_value();
    }
    if (good[0] == good[1]) continue;
    const int bad = good[0] ? 1 : 0;
    if (auto s = file_.write_at((trailer_.table_page(bad) + number) * kBlock, copies[1 - bad]); !s) return std::unexpected(s.error());
    ++mended;
  }
  if (mended != 0) {
    if (auto s = file_.sync(); !s) return std::unexpected(s.error());
  }
  return mended;
}

Status SegmentPages::set_expected(int copy, uint32_t page, const Page& bytes) {
  const uint32_t number = page / format::kChecksPerPage;
  const uint64_t at = trailer_.table_page(copy) + number;
  auto table = read(at);
  if (!table) return std::unexpected(table.error());
  const auto used = format::page_used(*table, number, format::kChecksPerPage, seed_);
  if (!used) return {};  // a damaged copy says nothing; it is mended from the other one
  store_le64(table->data() + format::kPageHead + size_t{page % format::kChecksPerPage} * 8, checksum_of(page, bytes));
  format::seal_page(table->data(), number, *used, seed_);
  return file_.write_at(at * kBlock, *table);
}

Status SegmentPages::overwrite(uint64_t offset, std::span<const std::byte> bytes, bool again) {
  const auto first = static_cast<uint32_t>(offset / kBlock);
  const auto last = static_cast<uint32_t>((offset + bytes.size() - 1) / kBlock);
  if (last >= trailer_.pages) return fail(Errc::kInvalidArgument, "beyond the pages of the segment");
  std::vector<uint32_t> parities;
  for (uint32_t page = first; page <= last; ++page) {
    const uint32_t parity = trailer_.parity().parity_of(page);
    if (std::find(parities.begin(), parities.end(), parity) == parities.end()) parities.push_back(parity);
  }
  // Damage elsewhere in the groups is mended while the old parity still can.
  for (const uint32_t parity : parities) {
    for (const uint32_t member : trailer_.parity().group_of(parity, trailer_.pages)) {
      if (again && member >= first && member <= last) continue;
      if (auto s = check(member); !s) return std::unexpected(s.error());
    }
  }
  // Synced before parity changes: a torn page can be had back from the old parity, and is then overwritten again.
  if (auto s = file_.write_at(offset, bytes); !s) return s;
  if (auto s = file_.sync(); !s) return s;
  std::vector<std::pair<uint32_t, Page>> changed;
  for (uint32_t page = first; page <= last; ++page) {
    auto now = read(page);
    if (!now) return std::unexpected(now.error());
    changed.emplace_back(page, std::move(*now));
  }
  for (const uint32_t parity : parities) {
    auto sum = parity_from_members(parity);
    if (!sum) return std::unexpected(sum.error());
    const uint32_t page = trailer_.pages + parity;
    if (auto s = file_.write_at(uint64_t{page} * kBlock, *sum); !s) return s;
    changed.emplace_back(page, std::move(*sum));
  }
  if (auto s = file_.sync(); !s) return s;
  for (const int copy : {0, 1}) {  // one after the other, so that a torn page of one leaves the other
    for (const auto& [page, now] : changed) {
      if (auto s = set_expected(copy, page, now); !s) return s;
    }
    if (auto s = file_.sync(); !s) return s;
  }
  return mend_tables() ? Status() : fail(Errc::kIo, "check tables could not be written");
}

}  // namespace sluice
