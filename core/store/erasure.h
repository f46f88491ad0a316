// One message to be made unreadable wherever it stands: the intent that the journal keeps, and the work.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/disk.h"
#include "store/record_format.h"
#include "store/segment_format.h"

namespace sluice {

/// Happy path: the intent is in the journal and on disk before the first byte is overwritten; the work is done once and
/// the intent leaves with its journal file. After a crash the work is done again: each step leads to the same bytes.
struct Erasure {
  uint32_t stream = 0;
  uint64_t seq = 0;
  uint64_t file = 0;    ///< where it stood when it was removed
  uint64_t offset = 0;
  uint64_t size = 0;    ///< of its record
  uint32_t batch = 0;   ///< of its record
  uint64_t intent_file = 0;  ///< journal file with the intent

  std::string encode() const;
  /// nullopt when the intent says nothing that can be erased.
  static std::optional<Erasure> decode(const format::Record& intent);
};

/// A place that an erasure has to look at.
struct ErasureTarget {
  std::string path;
  uint64_t offset = 0;  ///< 0: a journal file that may hold a copy somewhere below `end`
  uint64_t end = 0;
  uint64_t seed = 0;
  std::optional<format::SegmentTrailer> trailer;  ///< of a segment that has one
};

/// Worker thread. A target that holds another record is left alone; one that is erased already costs a read.
Status run_erasure(Disk& disk, const Erasure& erasure, const std::vector<ErasureTarget>& targets,
                   const std::shared_ptr<const SealingKeys>& keys);
/// What is left in the place of the message.
std::vector<std::byte> erased_record(const Erasure& erasure, uint64_t seed);

}  // namespace sluice
