// What makes messages leave a stream: limits, retention, rollup and delete. For purges see
// stream_purge.cc, for age and TTLs stream_expiry.cc.
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stream/local_stream.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Messages looked at in one go by the sweep of interest retention.
constexpr int kSweepSlice = 1000;

}  // namespace

/// The one way by which a single message leaves the store.
bool LocalStream::drop(StreamSeq seq, bool erase) {
  save_positions_before_removal(seq, seq.next());
  const bool counts = counts_for_purge(seq);
  if (!store_.remove(seq, erase)) return false;
  if (counts) --purges_.front().left;
  ttl_.forget(seq);
  schedules_.forget(seq);
  tell_resized();
  return true;
}

bool LocalStream::remove_stored(StreamSeq seq, bool erase) {
  if (observers_.empty()) return drop(seq, erase);
  const auto stored = store_.load(seq);
  if (!stored) return false;
  const std::string subject(stored->subject);
  if (!drop(seq, erase)) return false;
  observers_.each([&](StreamObserver& o) { o.on_removed(seq, subject); });
  return true;
}

uint64_t LocalStream::remove_below(StreamSeq first_kept) {
  const StreamSeq last = store_.state().last_seq;
  save_positions_before_removal(StreamSeq(), first_kept);
  const uint64_t removed = store_.purge_below(first_kept);
  if (!purging_ && !purges_.empty()) purges_.front().recount = true;
  ttl_.forget_below(first_kept);
  schedules_.forget_below(first_kept);
  tell_resized();
  if (const StreamSeq moved = store_.state().last_seq; moved > last) advance_to(moved);
  observers_.each([first_kept](StreamObserver& o) { o.on_purged_below(first_kept); });
  return removed;
}

void LocalStream::roll_up(Rollup rollup, std::string_view subject, StreamSeq keep) {
  if (rollup == Rollup::kAll) {
    remove_below(keep);
    return;
  }
  for (;;) {
    const auto state = store_.subject_state(subject);
    if (!state || state->first >= keep) return;
    if (!remove_stored(state->first, false)) return;
  }
}

void LocalStream::trim_subject(std::string_view subject) {
  const auto limit = static_cast<uint64_t>(parts_.config.max_msgs_per_subject);
  for (;;) {
    const auto state = store_.subject_state(subject);
    if (!state || state->count <= limit) return;
    if (!remove_stored(state->first, false)) return;
  }
}

void LocalStream::trim_totals() {
  const StreamConfig& c = parts_.config;
  if (c.max_msgs <= 0 && c.max_bytes <= 0) return;
  if (c.discard == Discard::kNew) return;  // a full stream refuses; lowering its limit removes nothing
  const StreamState at_start = store_.state();
  if (c.max_msgs > 0 && at_start.messages > static_cast<uint64_t>(c.max_msgs) + kBulkRemoval)
    remove_below(first_of_newest(static_cast<uint64_t>(c.max_msgs)));
  for (;;) {
    const StreamState state = store_.state();
    const bool over = (c.max_msgs > 0 && state.messages > static_cast<uint64_t>(c.max_msgs)) ||
                      (c.max_bytes > 0 && state.bytes > static_cast<uint64_t>(c.max_bytes));
    if (!over || state.messages == 0) return;
    if (!remove_stored(state.first_seq, false)) return;
  }
}

void LocalStream::trim_all_subjects() {
  std::vector<std::string> over;
  const auto limit = static_cast<uint64_t>(parts_.config.max_msgs_per_subject);
  store_.each_subject(">", [&](std::string_view subject, const SubjectState& state) {
    if (state.count > limit) over.emplace_back(subject);
    return true;
  });
  for (const std::string& subject : over) trim_subject(subject);
}

/// Files of a server that was killed may hold what its limit had removed.
void LocalStream::trim_restored() {
  if (parts_.config.max_msgs_per_subject > 0) trim_all_subjects();
}

void LocalStream::trim_after_update(const StreamConfig& was) {
  const StreamConfig& now = parts_.config;
  if (now.max_msgs_per_subject > 0 && now.max_msgs_per_subject != was.max_msgs_per_subject)
    trim_all_subjects();
  trim_totals();
  if (now.max_age != was.max_age) arm_expiry_timer();
  if (now.retention != was.retention) interest_changed();
}

// -- delete

Status LocalStream::delete_message(StreamSeq seq, bool erase) {
  if (parts_.config.sealed) return fail_api(Errc::kDenied, 10109, "");
  if (parts_.config.deny_delete)
    return fail_api(Errc::kDenied, 10057, "message delete not permitted");
  const uint64_t refused = store_.refused_reads();
  if (!seq.is_zero() && remove_stored(seq, erase)) return {};
  if (store_.refused_reads() != refused)
    return fail_api(Errc::kIo, 10057, "the disk refuses to read the message now, it was not removed");
  const StreamState state = store_.state();
  const bool within = !seq.is_zero() && seq >= state.first_seq && seq <= state.last_seq;
  if (within || parts_.config.storage == StorageKind::kMemory)
    return fail_api(Errc::kNotFound, 10043, fmt::format("{}", seq.value()));
  return fail_api(Errc::kNotFound, 10057,
                  seq > state.last_seq ? "stream store EOF" : "no message found");
}

/// The sequence at which the newest `keep` messages begin, gaps taken into account.
StreamSeq LocalStream::first_of_newest(uint64_t keep) const {
  uint64_t last = store_.state().last_seq.value();
  const auto& gaps = store_.deleted().ranges();
  for (auto gap = gaps.rbegin(); gap != gaps.rend(); ++gap) {
    const auto [gap_first, gap_last] = *gap;
    if (gap_last > last) continue;
    const uint64_t above = last - gap_last;
    if (above >= keep) break;
    keep -= above;
    last = gap_first - 1;
  }
  return StreamSeq(last >= keep ? last - keep + 1 : 1);
}

// -- retention

bool LocalStream::needed(StreamSeq seq, std::string_view subject) const {
  return observers_.any([&](const StreamObserver& o) { return o.needs(seq, subject); });
}

void LocalStream::consumer_done(StreamSeq seq) {
  if (closed_) return;
  switch (parts_.config.retention) {
    case Retention::kLimits: return;
    case Retention::kWorkQueue:
      if (observers_.size() <= 1) {
        remove_stored(seq, false);
        return;
      }
      // A mirror elsewhere may read beside the queue's own consumers: what one of them still has to do stays.
      [[fallthrough]];
    case Retention::kInterest: {
      const auto stored = store_.load(seq);
      if (!stored) return;
      const std::string subject(stored->subject);
      if (!needed(seq, subject)) remove_stored(seq, false);
      return;
    }
  }
}

void LocalStream::interest_changed() {
  if (closed_ || parts_.config.retention != Retention::kInterest) return;
  sweep_from_ = StreamSeq(1);
  sweep_timer_->start(0ns);
}

/// Looks at every stored message once, a slice at a time so that the loop goes on meanwhile.
void LocalStream::sweep_uninteresting() {
  if (parts_.config.retention != Retention::kInterest) return;
  for (int looked_at = 0; looked_at < kSweepSlice; ++looked_at) {
    const auto stored = store_.load_next(sweep_from_, ">");
    if (!stored) return;
    const StreamSeq seq = stored->seq;
    const std::string subject(stored->subject);
    sweep_from_ = seq.next();
    if (!needed(seq, subject)) remove_stored(seq, false);
  }
  sweep_timer_->start(0ns);
}

}  // namespace sluice
