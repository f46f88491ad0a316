// Opens every disk that a power cut could have left of a recorded life, and holds it against what was promised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/disk_image.h"
#include "sim/sim_env.h"
#include "simulate/recorded_life.h"

namespace sluice::simulate {

struct CrashTally {
  uint64_t histories = 0;
  uint64_t events = 0;       ///< changes of the disk in them
  uint64_t states = 0;       ///< distinct disks opened
  uint64_t cut_again = 0;    ///< of them with the power cut once more inside recovery
  uint64_t written_on = 0;   ///< of them written on, cut and opened again
  uint64_t erased = 0;       ///< of them with messages erased: looked for once what was left to do is done
  uint64_t torn = 0;         ///< of them in which recovery cut a batch
  uint64_t faults = 0;       ///< runs with one failing call
  uint64_t faults_stopped = 0;  ///< of them that made the store read-only
};

/// Checks of one recorded life.
class CrashCheck {
 public:
  CrashCheck(const RecordedLife& life, uint64_t seed);
  /// What a disk must hold after `events` of the life: everything acknowledged by then, nothing that was not yet
  /// asked for.
  struct Promise {
    size_t acked = 0;
    size_t made = 0;
    size_t events = 0;
  };
  Promise promise_after(size_t events) const;
  /// Throws Violation.
  void check(const sim::DiskImage& image, Promise promise, CrashTally& tally);

 private:
  struct Prefix {
    uint64_t digest = 0;
    std::map<std::string, uint64_t> last_seqs;
    std::map<std::string, uint64_t> highest;  ///< ever, whatever was cut since
  };
  std::unique_ptr<Store> open(sim::SimEnv& sim, bool cut_inside, CrashTally& tally) const;
  /// @return how many changes are there.
  size_t compare(Store& store, Promise promise) const;
  void look_for_erased(const sim::DiskImage& image, Promise promise);
  void finish_erases(sim::SimEnv& sim, Promise promise, CrashTally& tally) const;
  void write_on(sim::SimEnv& sim, std::unique_ptr<Store> store, size_t kept, CrashTally& tally) const;
  uint64_t highest(const std::string& stream, Promise promise) const;
  [[noreturn]] void violated(const Store* store, Promise promise, const std::string& what) const;

  const RecordedLife& life_;
  sim::SimRandom random_;
  std::set<std::pair<uint64_t, size_t>> looked_at_;  ///< hash of a page, and how many erased messages it does not hold
  std::vector<Prefix> prefixes_;  ///< after the first n changes
};

/// Every crash state of recorded lives until `states` were seen. Throws Violation, which names the seed of its life.
/// @param lying_disk  syncs do nothing: a violation must be found.
void run_crash_states(uint64_t seed, uint64_t states, bool lying_disk, bool encrypted, const std::function<bool()>& time_over,
                      CrashTally& tally);
/// The same life again and again, each time with another I/O call failing (EIO, ENOSPC, failed fsync). Throws Violation.
void run_faults(uint64_t seed, uint64_t lives, bool encrypted, const std::function<bool()>& time_over, CrashTally& tally);

}  // namespace sluice::simulate
