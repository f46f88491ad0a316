#include "stream/schedule.h"

#include <limits>

#include "base/headers.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
constexpr WallNanos kSecond = nanoseconds(seconds(1)).count();

std::unexpected<Error> bad_pattern() { return fail_api(Errc::kRefused, 10189, ""); }

WallNanos whole_second(WallNanos time) { return (time + kSecond / 2) / kSecond * kSecond; }

}  // namespace

Result<SchedulePattern> SchedulePattern::parse(std::string_view text, std::string_view time_zone) {
  constexpr std::string_view kAt = "@at ";
  constexpr std::string_view kEvery = "@every ";
  const auto zone = time_zone.empty() ? TimeZone::utc() : TimeZone::find(time_zone);
  if (!zone) return fail_api(Errc::kRefused, 10223, "");
  const bool is_cron = !text.starts_with(kAt) && !text.starts_with(kEvery);
  if (!is_cron && !time_zone.empty()) return bad_pattern();
  if (text.starts_with(kAt)) {
    const auto time = parse_rfc3339(text.substr(kAt.size()));
    if (!time || *time == kZeroTime) return bad_pattern();
    return SchedulePattern(At{*time});
  }
  if (text.starts_with(kEvery)) {
    const auto interval = parse_go_duration(text.substr(kEvery.size()));
    if (!interval || *interval < seconds(1)) return bad_pattern();
    return SchedulePattern(Every{*interval});
  }
  const auto expression = CronExpression::parse(text);
  if (!expression) return bad_pattern();
  const Cron cron{*expression, *zone};
  // "Never" shows from any start: the longest cycle of a calendar is what next() looks ahead.
  if (!next_by(cron, 0)) return bad_pattern();
  return SchedulePattern(cron);
}

std::optional<WallNanos> SchedulePattern::next_by(const Cron& cron, WallNanos after) {
  const auto next = cron.expression.next(after / kSecond, cron.zone);
  if (!next || *next > std::numeric_limits<WallNanos>::max() / kSecond) return std::nullopt;
  return *next * kSecond;
}

WallNanos SchedulePattern::first(WallNanos stored) const {
  if (const At* at = std::get_if<At>(&kind_)) return at->time;
  return next(whole_second(stored), stored).value_or(std::numeric_limits<WallNanos>::max());
}

std::optional<WallNanos> SchedulePattern::next(WallNanos due, WallNanos now) const {
  if (std::holds_alternative<At>(kind_)) return std::nullopt;
  if (const Cron* cron = std::get_if<Cron>(&kind_)) return next_by(*cron, std::max(due, now));
  const int64_t interval = std::get<Every>(kind_).interval.count();
  if (due > std::numeric_limits<WallNanos>::max() - interval) return std::nullopt;
  const WallNanos next = due + interval;
  if (next > now) return next;
  return next + ((now - next) / interval + 1) * interval;
}

std::string produced_headers(std::string_view source, const PublishHeaders& schedule,
                             std::string_view schedule_subject, std::optional<WallNanos> next) {
  std::string out(source);
  remove_headers_with_prefix(out, "Nats-Schedule");
  remove_headers_with_prefix(out, "Nats-Expected-");
  for (const char* name : {"Nats-Msg-Id", "Nats-TTL", "Nats-Rollup"}) remove_header(out, name);
  append_header(out, "Nats-Scheduler", schedule_subject);
  append_header(out, "Nats-Schedule-Next", next ? format_rfc3339(*next / kSecond * kSecond) : std::string(kScheduleEnds));
  if (!schedule.schedule_ttl.empty()) append_header(out, "Nats-TTL", schedule.schedule_ttl);
  if (!schedule.schedule_rollup.empty()) append_header(out, "Nats-Rollup", schedule.schedule_rollup);
  return out;
}

}  // namespace sluice
