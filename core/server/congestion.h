// Whose subscribers read too slowly, over all accounts of a server, and who waits for that to end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/ticket.h"
#include "io/executor.h"

namespace sluice {

/// Loop thread only. Tickets may outlive it.
class Congestion {
 public:
  explicit Congestion(Executor& executor);

  /// A subscriber says that it became congested, or that it no longer is (drained or gone).
  void began() { ++count_; }
  void ended();
  bool any() const { return count_ != 0; }
  size_t count() const { return count_; }

  /// A subscriber says that it took a message while congested…
  void note_take() { take_ = true; }
  /// …and the publisher asks whether that happened since it last asked.
  bool consume_take() { return std::exchange(take_, false); }

  /// Runs `relieved` once, posted, when some subscriber has drained.
  Ticket call_when_relieved(std::move_only_function<void()> relieved);
  /// Lets all that wait look again.
  void wake_waiting();

 private:
  struct Relief {
    std::map<uint64_t, std::move_only_function<void()>> waiting;
    uint64_t last_id = 0;
    bool posted = false;
  };

  Executor& executor_;
  size_t count_ = 0;
  bool take_ = false;
  std::shared_ptr<Relief> relief_ = std::make_shared<Relief>();
};

}  // namespace sluice
