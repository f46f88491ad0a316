// The bytes of a segment besides its records: index pages, summary, check tables, trailer, and which pages
// protect which. Pure; docs/storage_format.md is the text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/record_format.h"

namespace sluice::format {

inline constexpr uint32_t kTrailerMagic = 0x32464C53;  // "SLF2"
inline constexpr size_t kPageHead = 16;
inline constexpr size_t kIndexEntry = 24;
inline constexpr uint32_t kEntriesPerPage = (kBlock - kPageHead) / kIndexEntry;
inline constexpr uint32_t kSealedEntriesPerPage = (kBlock - kPageHead - Sealer::kSeal_bytes) / kIndexEntry;
inline constexpr uint32_t kChecksPerPage = (kBlock - kPageHead) / 8;
static_assert(kEntriesPerPage == 170 && kSealedEntriesPerPage == 168 && kChecksPerPage == 510);

/// Where one message of a segment lies.
struct IndexEntry {
  uint64_t seq = 0;
  uint64_t offset = 0;  ///< of its record, or of the block that holds it
  uint32_t accounted_bytes = 0;
  uint32_t subject_hash = 0;
};

// -- pages with a head: index and check table

/// Fills the head; the rest of the page is set already.
void seal_page(std::byte* page, uint32_t number, uint32_t used, uint64_t seed);
/// How many items the page holds; nullopt when it is damaged or another page.
std::optional<uint32_t> page_used(std::span<const std::byte> page, uint32_t number, uint32_t most, uint64_t seed);
void put_entry(std::byte* page, uint32_t slot, const IndexEntry& entry);
IndexEntry get_entry(const std::byte* page, uint32_t slot);
/// Encrypts the entries of an index page, before seal_page() puts its checksum.
void encrypt_entries(std::byte* page, uint32_t number, uint64_t seed, Sealer& sealer);
/// The reverse, of a page whose checksum fits. False when no key fits.
[[nodiscard]] bool decrypt_entries(std::byte* page, uint32_t number, uint64_t seed, Sealer& sealer);

// -- who protects whom

/// Pages are taken in stripes, and dealt out in turn to the groups of their stripe; of each group one parity page is the xor.
struct ParityLayout {
  static constexpr uint32_t kGroups = 16;  ///< of a stripe: damage to so many neighbours touches each group once
  uint32_t stripe_pages = 512;

  /// How many parity pages `pages` pages have.
  uint32_t parity_pages_of(uint32_t pages) const;
  /// The parity page (counted from 0) of a page.
  uint32_t parity_of(uint32_t page) const { return page / stripe_pages * kGroups + page % kGroups; }
  /// All pages, of `pages`, that a parity page protects.
  std::vector<uint32_t> group_of(uint32_t parity, uint32_t pages) const;
};
ParityLayout parity_layout(uint32_t version);
void xor_into(std::byte* into, const std::byte* page);

// -- trailer

struct SegmentTrailer {
  uint32_t version = kVersion;
  uint64_t store_id = 0;
  uint64_t number = 0;
  uint32_t pages = 0;         ///< N: header, records, index, summary
  uint32_t parity_pages = 0;  ///< P
  uint32_t table_pages = 0;   ///< T, of one table
  uint32_t first_index_page = 0;
  uint32_t entries = 0;
  uint32_t first_summary_page = 0;
  uint64_t summary_length = 0;
  uint64_t summary_checksum = 0;
  uint64_t record_bytes = 0;

  bool sealed() const { return is_sealed_version(version); }
  ParityLayout parity() const { return parity_layout(version); }
  uint32_t entries_per_page() const { return sealed() ? kSealedEntriesPerPage : kEntriesPerPage; }
  uint64_t all_pages() const { return uint64_t{pages} + parity_pages + 2 * uint64_t{table_pages} + 2; }
  /// First page of check table 0 or 1.
  uint64_t table_page(int copy) const {
    return uint64_t{pages} + parity_pages + static_cast<uint64_t>(copy) * (uint64_t{table_pages} + 1);
  }
};
/// Fills a whole page.
void encode_trailer(std::byte* page, const SegmentTrailer& trailer);
/// nullopt when damaged, of another file, or when its numbers contradict each other.
std::optional<SegmentTrailer> decode_trailer(std::span<const std::byte> page, uint64_t store_id, uint64_t number);

// -- summary

struct SubjectCount {
  std::string_view subject;
  uint32_t count = 0;
  uint64_t first = 0;
  uint64_t last = 0;
};
/// What a segment holds of one stream.
struct PartSummary {
  uint32_t stream = 0;
  uint32_t entries = 0;
  uint32_t first_entry = 0;
  uint64_t bytes = 0;  ///< accounted
  WallNanos last_time = 0;
  std::vector<SeqRange> ranges;
  std::vector<SubjectCount> subjects;  ///< views into the summary
};

/// Makes a summary from messages sorted by (stream, sequence).
class SummaryBuilder {
 public:
  void add(uint32_t stream, uint64_t seq, WallNanos time, std::string_view subject, uint32_t accounted_bytes);
  std::vector<std::byte> finish();

 private:
  struct Count {
    uint32_t count = 0;
    uint64_t first = 0;
    uint64_t last = 0;
  };
  void end_part();

  std::vector<std::byte> bytes_ = std::vector<std::byte>(4);
  uint32_t parts_ = 0;
  uint32_t entries_ = 0;
  PartSummary part_;
  std::unordered_map<std::string, Count> counts_;
};

/// Appends the seal; the summary is not to be read then.
void encrypt_summary(std::vector<std::byte>& summary, uint64_t seed, Sealer& sealer);
/// The reverse. False when no key fits.
[[nodiscard]] bool decrypt_summary(std::vector<std::byte>& summary, uint64_t seed, Sealer& sealer);
/// Calls `visit` for each stream in rising order. @return false when the bytes don't parse (some may have been visited).
bool read_summary_parts(std::span<const std::byte> summary, const std::function<void(const PartSummary&)>& visit);

}  // namespace sluice::format
