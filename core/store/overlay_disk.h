// A disk whose changes stay in memory: what lies below is read and never written. So that a store can be
// opened, recovered and looked at where it lies, without a copy and without a trace.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "io/disk.h"

namespace sluice {

/// Thread safe as Disk is. Memory grows with what is written, by pages of 4 KiB; zeros beyond the end are free.
class OverlayDisk : public Disk {
 public:
  /// `below` outlives this and every file opened here.
  explicit OverlayDisk(Disk& below) : below_(below) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& dir) override;
  Status make_dirs(const std::string& dir) override;
  Status remove_dir(const std::string& dir) override;
  Status sync_dir(const std::string& dir) override;
  /// The lock of the folder below, so that nobody changes it meanwhile. When there is no LOCK file, or the place
  /// can't be written at all, there is nobody to keep out.
  Result<std::unique_ptr<DirLock>> lock_dir(const std::string& dir) override;
  Result<uint64_t> free_bytes(const std::string& dir) override { return below_.free_bytes(dir); }

 private:
  struct Node;
  class OverlayFile;
  /// The file of a path as seen here; with the lock held.
  Result<std::shared_ptr<Node>> node_at(const std::string& path);

  Disk& below_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Node>> nodes_;  ///< null = removed here
  std::set<std::string> folders_;                       ///< made here
};

}  // namespace sluice
