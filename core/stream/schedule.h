// Scheduled messages (ADR-51): when one fires, and what it then produces. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "base/time_format.h"
#include "stream/cron.h"
#include "stream/publish_headers.h"
#include "calendar/time_zone.h"

namespace sluice {

/// The value of Nats-Schedule: `@at <RFC 3339>`, `@every <Go duration ≥ 1s>`, a cron expression of six
/// fields or one of its short names; Nats-Schedule-Time-Zone goes with cron only.
class SchedulePattern {
 public:
  /// 10223 for an unknown zone, 10189 for anything else; also for a cron that never comes.
  static Result<SchedulePattern> parse(std::string_view text, std::string_view time_zone);

  /// First time of a schedule stored at `stored`; may be past.
  WallNanos first(WallNanos stored) const;
  /// The next one, after it fired at its time `due`: above `now`, so that what was missed is one.
  /// nullopt = it was the last.
  std::optional<WallNanos> next(WallNanos due, WallNanos now) const;

 private:
  struct At {
    WallNanos time;
  };
  struct Every {
    std::chrono::nanoseconds interval;
  };
  struct Cron {
    CronExpression expression;
    TimeZone zone;
  };
  using Kind = std::variant<At, Every, Cron>;
  explicit SchedulePattern(Kind kind) : kind_(kind) {}
  static std::optional<WallNanos> next_by(const Cron& cron, WallNanos after);

  Kind kind_;
};

/// Nats-Schedule-Next on what the last firing produced.
inline constexpr std::string_view kScheduleEnds = "purge";

/// Headers of the message that a schedule produces.
/// @param source  headers of the message whose body is taken: the schedule's own or its source's
/// @param next    nullopt = it was the last
std::string produced_headers(std::string_view source, const PublishHeaders& schedule,
                             std::string_view schedule_subject, std::optional<WallNanos> next);

}  // namespace sluice
