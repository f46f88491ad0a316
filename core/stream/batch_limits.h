// What bounds the batches under way (ADR-50): of one stream, and of all streams together.
#pragma once

#include <chrono>
#include <cstddef>

#include "base/limits.h"

namespace sluice {

struct BatchLimits {
  size_t atomic_messages = 1000;          ///< of one atomic batch; beyond: 10199
  size_t atomic_per_stream = 50;          ///< open at once; beyond: 10210
  size_t atomic_in_all = 1000;
  size_t atomic_bytes = 32 * kMiB;        ///< of one atomic batch; beyond: 10199
  size_t atomic_bytes_in_all = 256 * kMiB;  ///< staged in memory; beyond: 10210
  size_t fast_per_stream = 1000;          ///< beyond: 10211
  size_t fast_in_all = 50'000;
  std::chrono::nanoseconds idle = std::chrono::seconds(10);  ///< then a batch is abandoned
};

/// The longest id of a batch of either kind.
inline constexpr size_t kMaxBatchId_bytes = 64;

/// What all streams together have open; owned by their registry.
struct BatchesOpen {
  size_t atomic = 0;
  size_t atomic_bytes = 0;
  size_t fast = 0;
};

}  // namespace sluice
