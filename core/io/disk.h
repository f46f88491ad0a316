// Files. Blocking calls: the data path makes them on a DiskWorker, start-up and reads on the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace sluice {

enum class OpenMode : uint8_t {
  kRead,       ///< must exist
  kReadWrite,  ///< must exist
  kCreate,     ///< read and write; created empty when missing, kept when present
};

/// One open file. Thread safe as pread/pwrite are. Closed by the destructor.
class File {
 public:
  virtual ~File() = default;
  /// Reads up to into.size() bytes. @return bytes read; fewer only at the end of the file.
  virtual Result<size_t> read_at(uint64_t offset, std::span<std::byte> into) = 0;
  /// Writes all of `bytes` or fails: kNoSpace (ENOSPC, EDQUOT) or kIo. The file grows as needed.
  virtual Status write_at(uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// fdatasync. After a failure nothing written since the last success may be believed; never retried.
  virtual Status sync() = 0;
  virtual Result<uint64_t> size() = 0;
  virtual Status truncate(uint64_t size) = 0;
  /// Grows the file to `size` with space of its own; what was never written reads as zeros. Quick, but
  /// the first write and sync of each part costs more than in a file that was written before.
  virtual Status allocate(uint64_t size) = 0;
};

class DirLock {
 public:
  virtual ~DirLock() = default;
};

/// Paths use '/'. A created, renamed or removed name is durable only after sync_dir of its folder.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  /// Names (not paths) of the entries of a folder, sorted.
  virtual Result<std::vector<std::string>> list(const std::string& dir) = 0;
  /// Creates the folder and its parents, mode 0700.
  virtual Status make_dirs(const std::string& dir) = 0;
  virtual Status remove_dir(const std::string& dir) = 0;  ///< must be empty
  virtual Status sync_dir(const std::string& dir) = 0;
  /// flock on `dir`/LOCK. kExists when another process holds it.
  virtual Result<std::unique_ptr<DirLock>> lock_dir(const std::string& dir) = 0;
  virtual Result<uint64_t> free_bytes(const std::string& dir) = 0;
};

/// Runs blocking work off the loop, one job after the other in the order submitted.
class DiskWorker {
 public:
  virtual ~DiskWorker() = default;
  /// `work` runs on the worker's thread and must touch nothing of the loop; `done` then runs on the
  /// loop with its result, never before submit() has returned. Destroying the worker waits for the
  /// running job and drops the `done`s.
  virtual void submit(std::move_only_function<Status()> work,
                      std::move_only_function<void(Status)> done) = 0;
};

class DiskWorkers {
 public:
  virtual ~DiskWorkers() = default;
  virtual std::unique_ptr<DiskWorker> make(std::string_view name) = 0;
};

}  // namespace sluice
