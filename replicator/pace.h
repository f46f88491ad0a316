// How fast a copy may send, in bytes a second, by the time of day.
//
// A bucket of debt: what is sent is owed, time pays it back at the rate that holds now; whoever owes waits. Only
// messages of a copy wait here, above the connection: pings, acks, lag and election never stand behind them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "base/time_format.h"
#include "calendar/time_zone.h"
#include "io/clock.h"
#include "replicator/options.h"

namespace sluice {

class Pace {
 public:
  /// kInvalidArgument: no such time zone.
  static Result<Pace> make(const PaceOptions& options);

  /// Bytes a second at this time; 0 = no bound.
  uint64_t rate_at(WallNanos wall) const;
  /// The largest of them; 0 = at some hours there is no bound.
  uint64_t largest_rate() const;
  /// 0 = the next message may go. Never longer than kLook, after which it has to be asked again: the hour may have
  /// changed.
  std::chrono::nanoseconds wait(MonoTime now, WallNanos wall);
  void sent(size_t bytes) { debt_bytes_ += static_cast<double>(bytes); }

  static constexpr std::chrono::seconds kLook{1};

 private:
  Pace(PaceOptions options, TimeZone zone) : options_(std::move(options)), zone_(zone) {}

  PaceOptions options_;
  TimeZone zone_;
  double debt_bytes_ = 0;  ///< negative: may be sent at once
  MonoTime paid_until_{};
};

}  // namespace sluice
