// The two clocks. Nobody reads time any other way.
#pragma once

#include <chrono>

#include "base/time_format.h"

namespace sluice {

/// A point of the monotonic clock, nanoseconds since an unknown start.
using MonoTime = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic; for timers, timeouts and rates. Constant within one loop round.
  virtual MonoTime now() const = 0;
  /// Wall clock, only to stamp; may jump either way.
  virtual WallNanos wall() const = 0;
};

}  // namespace sluice
