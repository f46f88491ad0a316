// The disks that a power cut can leave behind, one by one, for every instant of a recorded history.
//
// Legal at an instant: of each write since its file's last sync any 512-byte sectors may be on disk or not; of
// each change of a name since its folder's last sync the same, as a whole; a file's size may be there without
// the bytes. What a sync covered is there. Systematic first (all, none, all but one, only one, each torn place
// of the newest write in units of 512 bytes and 4 KiB), then random mixtures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "sim/disk_history.h"
#include "sim/disk_image.h"
#include "sim/sim_random.h"

namespace sluice::sim {

class CrashStates {
 public:
  /// `history` outlives this.
  CrashStates(const DiskHistory& history, SimRandom random) : history_(history), random_(random) {}
  /// Lets the next event happen. @return false at the end.
  bool step();
  size_t events() const { return next_; }
  /// Calls `visit` for each distinct disk that a power cut can leave now, until it returns false. A disk counts
  /// again when `promises`, what must be found on it, has changed. `mixtures`: how many random ones to try.
  void each(uint64_t promises, size_t mixtures, const std::function<bool(const DiskImage&)>& visit);

 private:
  /// Which of the pending events made it to the disk.
  struct Kept {
    std::function<bool(size_t event)> name;
    std::function<bool(size_t event, uint64_t sector)> sector;
    bool sizes = false;  ///< sizes are those written, whatever of the bytes is there
  };
  struct PendingFile {
    FileImage durable;
    std::vector<size_t> events;
  };
  using Names = std::map<std::string, uint32_t>;  ///< 0 = folder
  static constexpr uint32_t kFolder = 0;

  static void apply_name(const DiskEvent& event, Names& names);
  void apply_data(const DiskEvent& event, size_t index, const Kept& kept, FileImage& file) const;
  DiskImage build(const Kept& kept) const;
  std::vector<size_t> pending_data() const;
  std::vector<Kept> systematic() const;
  void tear_newest(std::vector<Kept>& out) const;
  Kept mixture();

  const DiskHistory& history_;
  SimRandom random_;
  size_t next_ = 0;
  Names names_;
  std::vector<size_t> pending_names_;
  std::map<uint32_t, PendingFile> files_;
  std::unordered_set<uint64_t> seen_;
};

}  // namespace sluice::sim
