// One-shot timers of the loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace sluice {

/// A member of whoever waits. Destroying it stops it; the callback may destroy the timer's owner
/// as its last act. Loop thread only.
class Timer {
 public:
  virtual ~Timer() = default;
  /// (Re)arms: fires once after `delay` (never before start() has returned). Negative counts as 0.
  virtual void start(std::chrono::nanoseconds delay) = 0;
  virtual void stop() = 0;
  virtual bool active() const = 0;
};

class Timers {
 public:
  virtual ~Timers() = default;
  virtual std::unique_ptr<Timer> make(std::move_only_function<void()> fire) = 0;
};

}  // namespace sluice
