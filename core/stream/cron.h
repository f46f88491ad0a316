// Cron expressions of six fields: second, minute, hour, day of month, month, day of week.
//
// A field is `*`, `?`, a number, a name (JAN, MON), a range, each with an optional /step, or a list of
// those. When both days are restricted, either is enough. Pure.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>

#include "calendar/time_zone.h"

namespace sluice {

class CronExpression {
 public:
  /// Six fields, or @yearly @annually @monthly @weekly @daily @midnight @hourly; nullopt when malformed.
  static std::optional<CronExpression> parse(std::string_view text);

  /// The first second after `after` (both seconds since 1970) at which the wall clock of `zone` matches.
  /// What falls into the hour that a clock skips does not come that day; in an hour that it repeats it
  /// comes each time. nullopt when there is none within five years.
  std::optional<int64_t> next(int64_t after, const TimeZone& zone) const;

 private:
  struct Field {
    std::bitset<64> values;
    bool any = false;  ///< began with * or ?, without a step
  };
  static bool parse_field(std::string_view text, int index, Field& out);
  bool day_matches(unsigned day, unsigned weekday) const;

  Field fields_[6];
};

}  // namespace sluice
