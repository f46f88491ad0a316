// Time as the spool counts it for TTLs: it goes on with the monotonic clock, so that a wall clock that is set
// right (or wrong) while messages wait neither expires nor spares them.
//
// A node without a battery starts in 1970 and jumps when it hears of the true time; by wall clock all it
// had queued before would be decades old. Across a restart only the wall clock can tell how long it took: the
// difference to the last mark counts, unless it is negative or the clock was not set then.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "io/clock.h"

namespace sluice {

/// Nanoseconds on the spool's own line; begins as the wall clock's time of its first opening.
using SpoolTime = int64_t;

class SpoolTimeline {
 public:
  explicit SpoolTimeline(Clock& clock);

  /// Goes on from what mark() gave before the restart. Malformed text: begins anew from the wall clock.
  void resume(std::string_view mark);
  SpoolTime now() const;
  /// What a restart needs to know. To be kept now and then, and when jumped() says so.
  std::string mark() const;
  /// Whether the wall clock has jumped against the monotonic one since the last call (or since resume()).
  bool jumped();

 private:
  Clock& clock_;
  SpoolTime base_;
  MonoTime since_;
  WallNanos offset_;  ///< wall - monotonic, when last looked at
};

}  // namespace sluice
