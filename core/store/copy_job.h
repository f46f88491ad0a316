// What a retirement does off the loop: reads journal files or segments, writes what lives in them into one new segment.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/large_memory.h"
#include "base/seq_set.h"
#include "io/disk.h"
#include "store/kept_ids.h"
#include "store/segment.h"

namespace sluice {

/// Filled by the loop, run once on a worker, looked at by the loop again. Knows nothing of the store.
struct CopyJob {
  /// Which messages of one stream are alive, as of the plan.
  struct Alive {
    uint64_t first = 1;  ///< nothing below lives
    uint64_t last = 0;   ///< nothing above is asked for
    std::vector<format::SeqRange> gaps;  ///< nor these, in between; rising
    bool contains(uint64_t seq) const;
  };
  struct Source {
    uint64_t number = 0;
    std::string path;
    uint64_t size = 0;  ///< bytes in use
    uint64_t seed = 0;
    bool is_journal = false;
    uint64_t end_batch = UINT64_MAX;  ///< of a journal: from this batch on nothing counts
  };
  std::string dir;  ///< of the segments
  uint64_t number = 0;
  uint64_t store_id = 0;
  std::shared_ptr<const SealingKeys> keys;  ///< null: the copy is not encrypted
  std::vector<Source> sources;
  std::unordered_map<uint32_t, Alive> alive;
  std::unordered_map<uint32_t, WallNanos> ids_since;  ///< by stream: ids from then on are kept although their message goes
  uint64_t ids_number = 0;                            ///< of the file for them
  std::unordered_set<uint32_t> compress;  ///< streams whose messages are compressed in the copy
  std::shared_ptr<LargeMemoryStock> memory;  ///< null: none is kept; not touched by the loop while the job runs

  // -- results
  bool made = false;      ///< false: nothing lived, no segment was written
  std::string path;
  uint64_t size = 0;
  std::shared_ptr<const SegmentShape> shape;
  std::vector<std::byte> summary;
  std::vector<SegmentEntry> entries;  ///< sorted by (stream, sequence)
  uint64_t accounted_bytes = 0;
  std::optional<IdFile> ids;            ///< written, when there were any to keep
  std::map<uint32_t, SeqSet> removals;  ///< that journal sources state
  bool damaged = false;                 ///< a journal source had a batch that is not as it was written

  const SegmentEntry* find(uint32_t stream, uint64_t seq) const;
  bool copies(uint64_t file_number) const;
};

Status run_copy(Disk& disk, CopyJob& job);

}  // namespace sluice
