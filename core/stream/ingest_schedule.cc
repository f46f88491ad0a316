// What may be a schedule, and who may end one (ADR-51).
#include <algorithm>
#include <utility>

#include "base/headers.h"
#include "calendar/time_zone.h"
#include "stream/ingest.h"
#include "stream/schedule.h"
#include "subject/subject.h"

namespace sluice {
namespace {

Error refusal(uint16_t api_code) { return Error{Errc::kRefused, api_code, {}}; }

}  // namespace

bool Ingest::is_own_subject(std::string_view subject) const {
  return is_valid_literal(subject) &&
         std::any_of(s_.config.subjects.begin(), s_.config.subjects.end(),
                     [subject](const std::string& own) { return subject_matches(own, subject); });
}

/// A schedule rolls up its subject, whether it says so or not: one a subject.
Ingest::Refusal Ingest::check_schedule(const Offered& offered, Verdict& verdict) const {
  const PublishHeaders& h = offered.headers;
  const Message& m = offered.message;
  if (h.schedule.empty()) {
    const bool no_such_zone = !h.schedule_time_zone.empty() && !TimeZone::find(h.schedule_time_zone);
    if (no_such_zone) return refusal(s_.config.allow_msg_schedules ? 10223 : 10188);
    return check_scheduler(offered);
  }
  if (!s_.config.allow_msg_schedules) return refusal(10188);
  if (const auto pattern = SchedulePattern::parse(h.schedule, h.schedule_time_zone); !pattern)
    return pattern.error();
  if (!h.schedule_ttl.empty()) {
    if (!parse_message_ttl(h.schedule_ttl)) return refusal(10191);
    if (!s_.config.allow_msg_ttl) return refusal(10166);
  }
  if (!h.schedule_rollup.empty() && h.schedule_rollup != "sub") return refusal(10192);
  if (!is_own_subject(h.schedule_target) || h.schedule_target == m.subject) return refusal(10190);
  if (!h.schedule_source.empty() && (!is_own_subject(h.schedule_source) || h.schedule_source == m.subject ||
                                     h.schedule_source == h.schedule_target))
    return refusal(10203);
  if (h.rollup.empty())
    append_header(headers_to_rewrite(m, verdict), "Nats-Rollup", "sub");
  else if (parse_rollup(h.rollup) != Rollup::kSubject)
    return refusal(10192);
  verdict.rollup = Rollup::kSubject;
  return check_scheduler(offered);
}

/// Clients end a schedule by naming it; the times of the next firings are the server's own to tell.
Ingest::Refusal Ingest::check_scheduler(const Offered& offered) const {
  const PublishHeaders& h = offered.headers;
  if (h.scheduler.empty() && h.schedule_next.empty()) return std::nullopt;
  if (!s_.config.allow_msg_schedules) return refusal(10188);
  if (offered.writer == Writer::kServer) return std::nullopt;
  if (h.schedule_next != kScheduleEnds || !is_valid_literal(h.scheduler) || h.scheduler == offered.message.subject)
    return refusal(10212);
  const auto last = s_.store.load_last(h.scheduler);
  if (last && parse_publish_headers(last->headers).schedule.empty()) return refusal(10212);
  return std::nullopt;
}

std::string& Ingest::headers_to_rewrite(const Message& message, Verdict& verdict) {
  if (!verdict.rewritten) verdict.rewritten = {.headers = std::string(message.headers)};
  return verdict.rewritten->headers;
}

}  // namespace sluice
