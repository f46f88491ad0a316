// The one way into the loop from another thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace sluice {

/// Bounded, many writers, one reader (the loop).
class Mailbox {
 public:
  virtual ~Mailbox() = default;
  /// Any thread. @return false when full: the task was not taken, the caller waits or drops and
  /// counts. The wake-up is sent under the mailbox's lock; one wake-up drains it whole.
  virtual bool post(std::move_only_function<void()> task) = 0;
  virtual size_t size() const = 0;
};

class Mailboxes {
 public:
  virtual ~Mailboxes() = default;
  /// Loop thread only. The mailbox may be destroyed on the loop; posts after that are refused by
  /// whoever still holds it (hold it by shared_ptr).
  virtual std::shared_ptr<Mailbox> make(size_t max_count) = 0;
};

}  // namespace sluice
