// bcrypt, off the loop: one worker thread and a bounded line before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/disk.h"

namespace sluice {

/// Loop thread only. Its worker is made by the first check.
class PasswordChecks {
 public:
  /// So many wait at the same time; the next is refused. At a cost of 11 that is nine seconds' work.
  static constexpr size_t kMaxWaiting = 64;

  explicit PasswordChecks(DiskWorkers& workers) : workers_(workers) {}

  /// `done` runs once with the result, from the loop, never before check() has returned.
  /// @return false when too many wait: `done` is dropped.
  bool check(std::string hash, std::string secret, std::move_only_function<void(bool)> done);
  uint64_t refused_count() const { return refused_; }

 private:
  DiskWorkers& workers_;
  std::unique_ptr<DiskWorker> worker_;
  size_t waiting_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace sluice
