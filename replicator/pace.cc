#include "replicator/pace.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Unused time that may be caught up with: timers wake in steps of a millisecond and late.
constexpr double kCredit_seconds = 0.05;
constexpr auto kShortestWait = 1ms;
constexpr int64_t kDay_seconds = 86'400;

bool holds(const PaceWindow& window, std::chrono::minutes time_of_day) {
  if (window.from < window.to) return time_of_day >= window.from && time_of_day < window.to;
  return time_of_day >= window.from || time_of_day < window.to;  // over midnight
}

}  // namespace

Result<Pace> Pace::make(const PaceOptions& options) {
  auto zone = TimeZone::find(options.zone);
  // A machine that was never told where it stands shows UTC.
  if (!zone && options.zone == kLocalZone) zone = TimeZone::utc();
  if (!zone) return fail(Errc::kInvalidArgument, fmt::format("there is no time zone '{}'", options.zone));
  return Pace(options, *zone);
}

uint64_t Pace::rate_at(WallNanos wall) const {
  if (options_.schedule.empty()) return options_.rate;
  const int64_t local = zone_.to_local(wall / 1'000'000'000);
  const auto time_of_day = std::chrono::minutes(((local % kDay_seconds) + kDay_seconds) % kDay_seconds / 60);
  const auto found = std::ranges::find_if(options_.schedule, [&](const PaceWindow& w) { return holds(w, time_of_day); });
  return found == options_.schedule.end() ? options_.rate : found->rate;
}

uint64_t Pace::largest_rate() const {
  uint64_t largest = options_.rate;
  for (const PaceWindow& window : options_.schedule) largest = std::max(largest, window.rate);
  return options_.rate == 0 ? 0 : largest;
}

std::chrono::nanoseconds Pace::wait(MonoTime now, WallNanos wall) {
  const double rate = static_cast<double>(rate_at(wall));
  const double elapsed = std::chrono::duration<double>(now - std::exchange(paid_until_, now)).count();
  if (rate == 0) {
    debt_bytes_ = 0;
    return 0ns;
  }
  debt_bytes_ = std::max(debt_bytes_ - rate * elapsed, -rate * kCredit_seconds);
  if (debt_bytes_ <= 0) return 0ns;
  const std::chrono::duration<double> owed(std::min(debt_bytes_ / rate, 1.0));
  return std::clamp<std::chrono::nanoseconds>(std::chrono::duration_cast<std::chrono::nanoseconds>(owed), kShortestWait,
                                              kLook);
}

}  // namespace sluice
