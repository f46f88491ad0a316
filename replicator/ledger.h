// What became of each source message: every sequence that the copier has passed is counted once.
#pragma once

#include <cstdint>

namespace sluice {

/// Counts since the copy first began, over all lives of the source stream. `read` counts source
/// sequences passed; the others say why, so that the sum always holds.
struct Ledger {
  uint64_t read = 0;
  uint64_t copied = 0;
  uint64_t filtered = 0;       ///< not selected, or at the limit of hops (or removed: a filtered source does not tell)
  uint64_t sampled = 0;        ///< left out by sampling
  uint64_t expired = 0;        ///< older than max_age
  uint64_t dead_lettered = 0;  ///< the target would not have it
  // Lost at the source before they were copied:
  uint64_t removed = 0;        ///< deleted singly, or over the limit for each subject
  uint64_t purged = 0;         ///< aged out, over the stream's limits or purged
  uint64_t recreated = 0;      ///< known to be there when the stream was made anew

  uint64_t lost() const { return removed + purged + recreated; }
  bool balanced() const {
    return read == copied + filtered + sampled + expired + dead_lettered + lost();
  }
  bool operator==(const Ledger&) const = default;
};

/// What the copier decided about one message.
enum class Outcome : uint8_t { kCopied, kFiltered, kSampled, kExpired, kDeadLettered };

}  // namespace sluice
