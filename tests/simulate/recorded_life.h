// What a store was asked to do, what it told, and what it did to its disk meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sim/disk_history.h"
#include "simulate/store_model.h"
#include "store/store.h"

namespace sluice::simulate {

struct RecordedLife {
  static constexpr size_t kNever = std::numeric_limits<size_t>::max();

  struct Step {
    Change change;
    size_t made_at = 0;          ///< events of the disk before it was made
    size_t acked_at = kNever;    ///< events of the disk before it was acknowledged
    std::string erased{};        ///< bytes of the message that it erased; empty = it erased none
    size_t erased_at = kNever;   ///< events of the disk before nothing was left of them
  };
  StoreOptions options;
  sim::DiskHistory disk;
  std::vector<Step> steps;  ///< acknowledged in this order
  std::vector<Step> lost;   ///< made, then lost by a kill: their sequences may still count as given out
  uint64_t erases = 0;
};

}  // namespace sluice::simulate
