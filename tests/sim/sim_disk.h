// A disk in memory with two images: what was written, and what would survive a power cut.
//
// File contents become durable by File::sync, names (creates, renames, removals, folders) by
// sync_dir of their folder. A power cut keeps a random part of the rest: any 512-byte sector may
// hold any version since the last sync, sizes and names may be old or new.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/disk.h"
#include "sim/disk_history.h"
#include "sim/disk_image.h"
#include "sim/sim_loop.h"
#include "sim/sim_random.h"

namespace sluice::sim {

enum class DiskOp : uint8_t {
  kOpen, kRead, kWrite, kSync, kTruncate, kRename, kRemove, kList, kMakeDirs, kSyncDir, kCount
};

/// What stops the machine: kPower loses what was not synced, kKill (kill -9) keeps all that was written.
enum class Crash : uint8_t { kPower, kKill };

class SimDisk : public Disk {
 public:
  explicit SimDisk(SimRandom random);
  ~SimDisk() override;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& dir) override;
  Status make_dirs(const std::string& dir) override;
  Status remove_dir(const std::string& dir) override;
  Status sync_dir(const std::string& dir) override;
  Result<std::unique_ptr<DirLock>> lock_dir(const std::string& dir) override;
  Result<uint64_t> free_bytes(const std::string& dir) override;

  // -- crashes. Prefer SimEnv::crash(), which also drops the loop's pending tasks.

  /// Cuts the power and turns it on again: open File objects fail with kIo from now on, locks are
  /// free, jobs of disk workers that had not finished never complete.
  void power_cut() { crash(Crash::kPower); }
  void process_kill() { crash(Crash::kKill); }
  void crash(Crash kind);
  /// Arms a crash inside the n-th changing operation from now (1 = the next; reads, opens of what
  /// exists and lists don't count): it may take effect in part, it fails with kIo, and so does
  /// everything after it until power_on(). The disk job it belongs to never completes. 0 disarms.
  void crash_after_ops(uint64_t n, Crash kind = Crash::kPower);
  void cut_after_n_ops(uint64_t n) { crash_after_ops(n, Crash::kPower); }
  /// False between an armed crash that struck and power_on().
  bool powered() const { return powered_; }
  void power_on() { powered_ = true; }
  /// Rises with each crash.
  uint64_t epoch() const { return epoch_; }
  uint64_t power_cuts() const { return power_cuts_; }

  // -- whole disks

  /// From now on every change is added to `history` (null: no more). Files that exist already have no
  /// beginning in it: record from an empty disk.
  void record(DiskHistory* history) { history_ = history; }
  /// The disk becomes `image`, all of it durable; files that were open fail with kIo.
  void load(const DiskImage& image);
  /// What is written now, durable or not.
  DiskImage image() const;

  // -- faults

  /// The `nth` operation of this kind from now (1 = the next) fails with `code`, once. A failed
  /// write may have written a part; data under a failed sync is gone at the next power cut unless
  /// written anew, whatever later syncs say.
  void fail_next(DiskOp op, uint64_t nth, Errc code);
  /// All files together may be this large; writes that grow beyond give kNoSpace.
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }
  uint64_t used_bytes() const;
  /// Flips one bit in the written and the durable image. False when the file has no such byte.
  bool flip_bit(const std::string& path, uint64_t offset, unsigned bit);
  std::optional<uint64_t> file_size(const std::string& path) const;
  /// The written bytes of a file; nullopt when there is none.
  std::optional<std::string> contents(const std::string& path) const;
  /// Paths of all files below `dir`, sorted.
  std::vector<std::string> all_files(const std::string& dir = "") const;

  /// Syncs answer well and do nothing: with such a disk a checker must find losses, or it checks nothing.
  void set_lying_sync(bool lies) { lying_sync_ = lies; }
  uint64_t ops(DiskOp op) const { return counts_.at(static_cast<size_t>(op)); }
  /// Changing operations since the start: the scale for crash_after_ops.
  uint64_t changes() const { return changes_; }

 private:
  friend class SimFile;
  friend class SimDirLock;
  struct Inode;
  struct NameOp;
  struct Fault {
    uint64_t left;
    Errc code;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;  // null inode = folder

  Status begin(DiskOp op, bool changes);
  bool strikes() const { return strike_now_; }
  Status finish(Status result);
  bool is_folder(const std::string& dir) const;
  void note(NameOp op);
  void resolve_names();
  std::shared_ptr<Inode> make_inode();
  void remember(DiskEvent event);
  static void apply(const NameOp& op, Names& names);

  SimRandom random_;
  Names written_;
  Names durable_;
  std::vector<NameOp> pending_;
  DiskHistory* history_ = nullptr;
  uint32_t last_inode_ = 0;
  std::map<std::string, uint64_t> locks_;  // folder → epoch
  std::array<uint64_t, static_cast<size_t>(DiskOp::kCount)> counts_{};
  std::vector<std::vector<Fault>> faults_{static_cast<size_t>(DiskOp::kCount)};
  uint64_t changes_ = 0;
  uint64_t crash_in_ = 0;
  Crash crash_kind_ = Crash::kPower;
  bool strike_now_ = false;
  bool powered_ = true;
  bool lying_sync_ = false;
  uint64_t epoch_ = 1;
  uint64_t power_cuts_ = 0;
  uint64_t capacity_ = 1ULL << 40;
};

/// Runs each job at a random later virtual time and its `done` at another, in order per worker, on
/// the caller's thread. With the default latency of zero both are due at once (run_until_idle).
class SimDiskWorkers : public DiskWorkers {
 public:
  SimDiskWorkers(SimEvents& events, SimDisk& disk, SimRandom random)
      : events_(events), disk_(disk), random_(random) {}
  std::unique_ptr<DiskWorker> make(std::string_view name) override;
  /// Each job takes a random time in [low, high].
  void set_latency(std::chrono::nanoseconds low, std::chrono::nanoseconds high);
  uint64_t jobs_run() const { return jobs_run_; }

 private:
  friend class SimDiskWorker;
  MonoTime random_delay();
  SimEvents& events_;
  SimDisk& disk_;
  SimRandom random_;
  std::chrono::nanoseconds low_{0};
  std::chrono::nanoseconds high_{0};
  uint64_t jobs_run_ = 0;
};

}  // namespace sluice::sim
