// Bounds how many steps of TLS handshakes one round of the loop pays for: one with RSA-2048 costs
// about a millisecond of signing, and a crowd that reconnects must not make the others wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "io/executor.h"

namespace sluice {

/// Loop thread only. First come, first served; the queue is bounded by the connections that wait.
class HandshakeGate {
 public:
  static constexpr size_t kStepsInARound = 8;

  explicit HandshakeGate(Executor& executor) : executor_(executor) {}
  ~HandshakeGate() { *self_ = nullptr; }
  HandshakeGate(const HandshakeGate&) = delete;
  HandshakeGate& operator=(const HandshakeGate&) = delete;

  /// Runs `step` now, or in a later round when this one has paid enough. `step` must guard itself:
  /// whoever wanted it may be gone.
  void run(std::move_only_function<void()> step) {
    if (waiting_.empty() && steps_ < kStepsInARound) {
      count_step();
      step();
      return;
    }
    waiting_.push_back(std::move(step));
    ++delayed_;
    wake();
  }
  /// Steps that had to wait for another round.
  uint64_t delayed() const { return delayed_; }

 private:
  void count_step() {
    if (steps_++ > 0) return;
    executor_.at_round_end(RoundPhase::kFlush, [self = self_] {
      if (*self != nullptr) (*self)->steps_ = 0;
    });
  }
  void wake() {
    if (std::exchange(posted_, true)) return;
    executor_.post([self = self_] {
      if (*self != nullptr) (*self)->run_waiting();
    });
  }
  void run_waiting() {
    posted_ = false;
    const auto self = self_;
    while (!waiting_.empty() && steps_ < kStepsInARound) {
      auto step = std::move(waiting_.front());
      waiting_.pop_front();
      count_step();
      step();
      if (*self == nullptr) return;
    }
    if (!waiting_.empty()) wake();
  }

  Executor& executor_;
  std::deque<std::move_only_function<void()>> waiting_;
  size_t steps_ = 0;
  uint64_t delayed_ = 0;
  bool posted_ = false;
  std::shared_ptr<HandshakeGate*> self_ = std::make_shared<HandshakeGate*>(this);
};

}  // namespace sluice
