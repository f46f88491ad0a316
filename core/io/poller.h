// Readiness of a file descriptor that a library owns (curl, Kafka's pipe).
#pragma once

#include <functional>
#include <memory>

namespace sluice {

/// Destroying it stops the watch. Loop thread only.
class PollHandle {
 public:
  virtual ~PollHandle() = default;
  /// Which readiness to report; both false = none.
  virtual void want(bool readable, bool writable) = 0;
};

class Poller {
 public:
  virtual ~Poller() = default;
  /// `ready(readable, writable)`. The descriptor must outlive the handle.
  virtual std::unique_ptr<PollHandle> watch(int fd, std::move_only_function<void(bool, bool)> ready) = 0;
};

}  // namespace sluice
