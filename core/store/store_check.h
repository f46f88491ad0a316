// Reads everything a store holds and tells what can't be read: the work of `sluice store verify` and `repair`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/seq_set.h"
#include "store/store.h"

namespace sluice {

struct StreamCheck {
  std::string name;
  StreamState state;              ///< as recovery left it, before reading
  uint64_t consumers = 0;
  SeqSet lost;                    ///< sequences found damaged at opening: gaps by now
  std::vector<uint64_t> damaged;  ///< sequences whose record can't be believed: lost for good
  uint64_t unreadable = 0;        ///< first sequence that the disk refuses to read; 0 = none
};

struct StoreCheck {
  std::vector<StreamCheck> streams;
  uint64_t messages = 0;  ///< read and good
  uint64_t bytes = 0;     ///< accounted, of all that were there before reading
  /// What opening found, in words; empty in a sound store that was closed or only lost power.
  std::vector<std::string> notes;
  uint64_t lost_records = 0;   ///< damaged, with good ones behind them, found at opening
  uint64_t cut_bytes = 0;      ///< of a newest batch that was never finished: no damage
  uint64_t damaged_messages = 0;
  uint64_t unreadable_streams = 0;

  /// Nothing that had been acknowledged is missing or unreadable.
  bool sound() const { return lost_records == 0 && damaged_messages == 0 && unreadable_streams == 0; }
};

/// Blocking. Reads every message of every stream once; `progress` (may be empty) hears of every 1,000th, and of the
/// last, how many of how many.
StoreCheck check_store(Store& store, const std::function<void(uint64_t done, uint64_t all)>& progress);

/// Makes what check_store() found damaged plain removals, so that they are gaps and no longer faults.
/// @return how many. They are durable with Store::last_commit().
uint64_t give_up_damaged(Store& store, const StoreCheck& found);

}  // namespace sluice
