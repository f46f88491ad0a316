#include "server/congestion.h"

#include "base/check.h"

namespace sluice {

Congestion::Congestion(Executor& executor) : executor_(executor) {}

Ticket Congestion::call_when_relieved(std::move_only_function<void()> relieved) {
  const uint64_t id = ++relief_->last_id;
  relief_->waiting.emplace(id, std::move(relieved));
  // Nobody is congested any more: the caller asked a moment ago and must not wait for ever.
  if (count_ == 0) wake_waiting();
  return Ticket([relief = std::weak_ptr(relief_), id] {
    if (auto still = relief.lock()) still->waiting.erase(id);
  });
}

void Congestion::ended() {
  SLUICE_CHECK(count_ > 0);
  --count_;
  wake_waiting();
}

void Congestion::wake_waiting() {
  if (relief_->posted || relief_->waiting.empty()) return;
  relief_->posted = true;
  executor_.post([weak = std::weak_ptr(relief_)] {
    const auto relief = weak.lock();
    if (relief == nullptr) return;
    relief->posted = false;
    // One by one: a call may cancel another's ticket, or wait again (with a higher id).
    const uint64_t last = relief->last_id;
    while (!relief->waiting.empty() && relief->waiting.begin()->first <= last) {
      auto next = relief->waiting.extract(relief->waiting.begin());
      next.mapped()();
    }
  });
}

}  // namespace sluice
