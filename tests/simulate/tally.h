// What a simulation has seen, and how it ends when a promise was broken.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace sluice::simulate {

struct Tally {
  uint64_t worlds = 0;
  uint64_t lives = 0;
  uint64_t power_cuts = 0;
  uint64_t cuts_inside = 0;    ///< of them inside a disk operation
  uint64_t cuts_recovering = 0;  ///< of them during recovery
  uint64_t kills = 0;
  uint64_t closes = 0;
  uint64_t faults = 0;
  uint64_t flips = 0;
  uint64_t changes = 0;
  uint64_t acked = 0;
  uint64_t lost_unacked = 0;   ///< changes that were not durable and are gone: allowed
  uint64_t publishes = 0;
  uint64_t deliveries = 0;
};

/// A promise of the engine was broken.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace sluice::simulate
