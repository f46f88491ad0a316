// What makes messages leave a stream with time: max_age, and the TTLs that messages bring along.
// One timer serves both. A firing removes a bounded number, then lets the loop go on.
#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <string_view>

#include "base/headers.h"
#include "stream/local_stream.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Removals by time come in batches no closer than this.
constexpr std::chrono::nanoseconds kGranularity = 250ms;
/// The timer looks at the wall clock at least this often, so that a jump of it is noticed.
constexpr std::chrono::nanoseconds kLookAgain = 10s;
/// Messages looked at in one firing, for each of the two reasons.
constexpr int kSlice = 1000;
/// Sequences that max_age takes away in one firing when everything below goes.
constexpr uint64_t kBulkSlice = 10'000;

/// When something of that time reaches `age`; the end of the clock's range when that is past it.
WallNanos time_at_age(WallNanos time, std::chrono::nanoseconds age) {
  constexpr WallNanos kEnd = std::numeric_limits<WallNanos>::max();
  return time > kEnd - age.count() ? kEnd : time + age.count();
}

/// What no marker follows: a marker, and what already says that its subject is gone.
bool ends_its_subject(std::string_view headers) {
  if (headers.empty()) return false;
  if (find_header(headers, "Nats-Marker-Reason")) return true;
  return find_header(headers, "KV-Operation") == "PURGE";
}

}  // namespace

/// When the oldest message that max_age can remove is due. May move age_from_ on.
std::optional<WallNanos> LocalStream::next_due_by_age() {
  const auto max_age = parts_.config.max_age;
  const StreamState state = store_.state();
  if (max_age.count() <= 0 || state.messages == 0) return std::nullopt;
  if (!ttl_.first_never()) return time_at_age(state.first_time, max_age);
  age_from_ = std::max(age_from_, state.first_seq);
  for (int looked_at = 0; looked_at < kSlice; ++looked_at) {
    age_from_ = ttl_.after_never_run(age_from_);
    const auto stored = store_.load_next(age_from_, ">");
    if (!stored) return std::nullopt;
    age_from_ = stored->seq;
    if (!ttl_.is_never(stored->seq)) return time_at_age(stored->time, max_age);
  }
  return parts_.env.clock.wall();
}

void LocalStream::arm_expiry_timer() {
  expiry_timer_->stop();
  if (const auto due = ttl_.next_due()) wake_at(due->at);
  if (const auto due = next_due_by_age()) wake_at(*due);
}

/// Makes the timer fire by then. It only ever moves to an earlier time: a stream of new messages must
/// not push the expiry of older ones away.
void LocalStream::wake_at(WallNanos due) {
  const WallNanos now = parts_.env.clock.wall();
  const std::chrono::nanoseconds left(due > now ? due - now : 0);
  const auto delay = std::clamp<std::chrono::nanoseconds>(left, kGranularity, kLookAgain);
  const MonoTime at = parts_.env.clock.now() + delay;
  if (expiry_timer_->active() && expiry_timer_at_ <= at) return;
  expiry_timer_at_ = at;
  expiry_timer_->start(delay);
}

/// Takes out a message whose time has come; when it was the last of its subject, a marker tells.
bool LocalStream::remove_expired(StreamSeq seq) {
  if (parts_.config.subject_delete_marker_ttl.count() == 0) return remove_stored(seq, false);
  const auto stored = store_.load(seq);
  if (!stored) return false;
  const std::string subject(stored->subject);
  const bool marks = !ends_its_subject(stored->headers);
  if (!remove_stored(seq, false)) return false;
  if (marks && !closed_ && !store_.subject_state(subject)) put_delete_marker(subject);
  return true;
}

void LocalStream::put_delete_marker(const std::string& subject) {
  std::string headers;
  append_header(headers, "Nats-Marker-Reason", "MaxAge");
  append_header(headers, "Nats-TTL", format_go_duration(parts_.config.subject_delete_marker_ttl));
  append_header(headers, "Nats-Rollup", "sub");
  if (take_own({.subject = subject, .reply = {}, .headers = headers, .payload = {}})) ++counters_.markers;
}

void LocalStream::expire() {
  if (scan_from_ <= scan_end_) return;  // the scan arms the timer when it is through
  const WallNanos now = parts_.env.clock.wall();
  const bool more_by_ttl = expire_by_ttl(now);
  const bool more_by_age = expire_by_age(now);
  if (closed_) return;
  if (!more_by_ttl && !more_by_age) return arm_expiry_timer();
  expiry_timer_at_ = parts_.env.clock.now();
  expiry_timer_->start(0ns);
}

/// @return true while more is due.
bool LocalStream::expire_by_ttl(WallNanos now) {
  for (int removed = 0; removed < kSlice; ++removed) {
    const auto due = ttl_.next_due();
    if (!due || due->at > now) return false;
    if (remove_expired(due->seq))
      ++counters_.expired;
    else
      ttl_.forget(due->seq);  // the store lost it to a damaged disk
  }
  const auto due = ttl_.next_due();
  return due && due->at <= now;
}

/// @return true while more is due. Messages that never expire are passed over once: age_from_ stays
/// above them.
bool LocalStream::expire_by_age(WallNanos now) {
  const auto max_age = parts_.config.max_age;
  const WallNanos newest_gone = now - max_age.count();
  StreamState state = store_.state();
  if (max_age.count() <= 0 || state.messages == 0 || state.first_time > newest_gone) return false;
  const StreamSeq end = store_.seq_at_time(newest_gone + 1);
  const StreamSeq bulk_end = std::min(end, ttl_.first_never().value_or(end));
  const bool marks = parts_.config.subject_delete_marker_ttl.count() > 0;
  if (!marks && bulk_end > state.first_seq && bulk_end.value() - state.first_seq.value() > kBulkRemoval) {
    const StreamSeq slice_end = std::min(bulk_end, StreamSeq(state.first_seq.value() + kBulkSlice));
    remove_below(slice_end);
    if (slice_end < bulk_end) return true;
    state = store_.state();
  }
  StreamSeq from = std::max(age_from_, state.first_seq);
  bool more = true;
  for (int looked_at = 0; more && looked_at < kSlice; ++looked_at) {
    from = ttl_.after_never_run(from);
    const auto stored = store_.load_next(from, ">");
    if (!stored || stored->seq >= end) {
      more = false;
    } else {
      from = stored->seq.next();
      if (const StreamSeq seq = stored->seq; !ttl_.is_never(seq)) remove_expired(seq);
    }
  }
  age_from_ = std::max(age_from_, from);
  return more;
}

}  // namespace sluice
