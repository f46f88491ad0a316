// LocalStream: schedules that stand in the stream fire when their time comes (ADR-51).
//
// Happy path: the timer wakes for the earliest; its message is produced through the checks of a publish and
// names the next time, which is also how a restart knows what was fired; a schedule that was the last of
// its kind is removed. A produced message that the stream refuses is counted and lost, the schedule goes on.
#include <algorithm>
#include <chrono>

#include "stream/local_stream.h"
#include "stream/schedule.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Schedules fired in one go.
constexpr int kFireSlice = 100;
/// The timer looks at the wall clock at least this often, so that a jump of it is noticed.
constexpr std::chrono::nanoseconds kLookAgain = 10s;

}  // namespace

/// A message was stored, or is found at the start: it may be a schedule, tell the next time of one, or
/// end one.
void LocalStream::note_schedule(std::string_view subject, std::string_view headers, StreamSeq seq,
                                WallNanos stored) {
  const PublishHeaders h = parse_publish_headers(headers);
  if (!h.schedule.empty()) {
    if (const auto pattern = SchedulePattern::parse(h.schedule, h.schedule_time_zone))
      schedules_.put(subject, seq, pattern->first(stored));
  } else if (!h.scheduler.empty() && h.schedule_next == kScheduleEnds) {
    const auto ended = schedules_.find(h.scheduler);
    if (ended && ended->seq < seq) remove_stored(ended->seq, false);
  } else if (!h.scheduler.empty()) {
    if (const auto next = parse_rfc3339(h.schedule_next)) schedules_.move(h.scheduler, seq, *next);
  }
}

void LocalStream::arm_schedule_timer() {
  const auto next = schedules_.next_due();
  if (!next || closed_ || scan_from_ <= scan_end_) return;
  const std::chrono::nanoseconds left(next->second.due - std::min(next->second.due, parts_.env.clock.wall()));
  schedule_timer_->start(std::min<std::chrono::nanoseconds>(left, kLookAgain));
}

void LocalStream::fire_schedules() {
  const WallNanos now = parts_.env.clock.wall();
  for (int fired = 0; fired < kFireSlice && !closed_; ++fired) {
    const auto next = schedules_.next_due();
    if (!next || next->second.due > now) break;
    fire(next->first, next->second, now);
  }
  arm_schedule_timer();
}

void LocalStream::fire(const std::string& subject, const Schedules::Entry& entry, WallNanos now) {
  const auto stored = store_.load(entry.seq);
  if (!stored) return schedules_.forget(entry.seq);  // the store lost it to a damaged disk
  const std::string own_headers(stored->headers);
  std::string payload(stored->payload);
  std::string source_headers = own_headers;
  const PublishHeaders h = parse_publish_headers(own_headers);
  const auto pattern = SchedulePattern::parse(h.schedule, h.schedule_time_zone);
  if (!pattern) return schedules_.forget(entry.seq);
  const auto next = pattern->next(entry.due, now);
  bool has_source = true;
  if (!h.schedule_source.empty()) {
    const auto source = store_.load_last(h.schedule_source);
    has_source = source.has_value();
    if (source) {
      payload = source->payload;
      source_headers = source->headers;
    }
  }
  // First, because what is produced may be this schedule's end.
  if (next) schedules_.move(subject, entry.seq.next(), *next);
  if (has_source) {
    const std::string headers = produced_headers(source_headers, h, subject, next);
    if (take_own({.subject = h.schedule_target, .reply = {}, .headers = headers, .payload = payload}))
      ++counters_.scheduled;
  }
  // Also when nothing was produced: it has had its time.
  if (!next && !closed_ && schedules_.find(subject) && schedules_.find(subject)->seq == entry.seq)
    remove_stored(entry.seq, false);
}

}  // namespace sluice
