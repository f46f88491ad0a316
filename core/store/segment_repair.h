// The pages of a segment held against its check tables: found damaged, rebuilt from their parity groups, erased in.
//
// Runs where it is called: on a worker for scrubbing and erasing, on the loop for a record that a reader waits for.
// Writes nothing but pages that then fit their checksum, and for an erase the checksums themselves. Every step may be
// interrupted and done again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "io/disk.h"
#include "store/segment_format.h"

namespace sluice {

enum class PageState : uint8_t {
  kGood,
  kRepaired,    ///< was damaged, written anew and synced
  kDamaged,     ///< and can't be rebuilt
  kUnverified,  ///< both copies of its checksum are gone
};

class SegmentPages {
 public:
  /// `file` is open for writing and outlives this.
  SegmentPages(File& file, const format::SegmentTrailer& trailer)
      : file_(file), trailer_(trailer), seed_(format::file_seed(trailer.store_id, trailer.number)) {}

  /// Looks at one page among the pages + parity_pages. Errors: kIo only.
  Result<PageState> check(uint32_t page);
  /// Whether a page fits its checksum as it stands; writes nothing.
  Result<bool> fits_now(uint32_t page);
  /// Tables and trailers: a damaged page of one copy is written from the other. @return how many were.
  Result<uint32_t> mend_tables();
  /// Overwrites `bytes.size()` bytes at `offset` for good: page, parity and both tables. `again`: an interrupted overwrite
  /// has put these bytes there already, so that its pages are right although they don't fit the tables.
  Status overwrite(uint64_t offset, std::span<const std::byte> bytes, bool again);

 private:
  using Page = std::vector<std::byte>;
  Result<Page> read(uint64_t page);
  Result<std::optional<uint64_t>> expected(uint32_t page);
  Result<bool> fits(uint32_t page, const Page& bytes);
  Result<std::optional<Page>> rebuild(uint32_t page);
  Result<Page> parity_from_members(uint32_t parity);
  Status set_expected(int copy, uint32_t page, const Page& bytes);
  uint64_t checksum_of(uint32_t page, const Page& bytes) const {
    return format::checksum(bytes.data(), bytes.size(), seed_ ^ page);
  }

  File& file_;
  format::SegmentTrailer trailer_;
  uint64_t seed_;
};

}  // namespace sluice
