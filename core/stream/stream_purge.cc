// Purges: what a client asks to remove at once can be more than the loop has time for in one turn.
//
// Happy path: purge() → begin (which sequences, how many of the filter's messages) → some each turn, oldest first →
// `done` with the count. Readers in between see what a purge up to some sequence leaves, never a hole in the
// middle; what comes in after the purge began stays.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "stream/local_stream.h"
#include "stream/sequence_limit.h"
#include "subject/subject.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Messages of a filter that go in one turn, each by a record of its own.
constexpr int kRemovedATurn = 1000;
/// Sequences in which a turn looks for them.
constexpr uint64_t kLookedAtATurn = 20'000;
/// Sequences below which everything goes in one turn, by one record.
constexpr uint64_t kBelowATurn = 10'000;
/// When no more stay, all below them goes in one turn: nothing of it has to be read.
constexpr uint64_t kFewKept = 1000;

bool is_filtered(const PurgeRequest& request) { return !request.filter.empty() && request.filter != ">"; }

}  // namespace

void LocalStream::purge(const PurgeRequest& request, PurgeDone done) {
  if (parts_.config.sealed) return done(fail_api(Errc::kDenied, 10109, ""));
  if (!request.below.is_zero() && request.keep > 0) return done(fail_api(Errc::kInvalidArgument, 10003, ""));
  // It would leave the stream beginning where none can.
  if (!is_filtered(request) && request.below > kLastStreamSeq.next()) return done(fail_api(Errc::kInvalidArgument, 10003, ""));
  if (parts_.config.deny_purge) return done(fail_api(Errc::kDenied, 10110, "stream purge not permitted"));
  purges_.push_back({.request = request, .done = std::move(done)});
  if (purges_.size() == 1) run_purges();
}

/// One turn's worth of the first; small ones behind it wait for a turn of their own.
void LocalStream::run_purges() {
  if (closed_ || purges_.empty()) return;
  Purge& purge = purges_.front();
  if (!std::exchange(purge.begun, true)) begin_purge(purge);
  const bool over = purge_some(purge);
  if (parts_.store != nullptr && parts_.store->failed())
    return fail_purges(Error{Errc::kIo, 10077, "the store has failed"});
  if (over) {
    Purge ended = std::move(purge);
    purges_.pop_front();
    if (!purges_.empty()) purge_timer_->start(0ns);
    ended.done(ended.purged);
    return;
  }
  purge_timer_->start(0ns);
}

void LocalStream::begin_purge(Purge& purge) {
  const PurgeRequest& r = purge.request;
  const StreamState state = store_.state();
  purge.from = StreamSeq(1);
  purge.end = r.below.is_zero() ? state.last_seq.next() : r.below;
  if (is_filtered(r)) {
    if (r.keep > 0) count_left(purge);
    return;
  }
  if (r.keep > 0) purge.end = state.messages <= r.keep ? state.first_seq : first_of_newest(r.keep);
  purge.at_once = store_.count_matching(purge.end, ">") <= kFewKept;
}

/// Of the messages that match now, those that need not stay. What came in since it began is not among them.
void LocalStream::count_left(Purge& purge) {
  const std::string& filter = purge.request.filter;
  uint64_t matching = store_.count_matching(StreamSeq(1), filter);
  if (purge.end <= store_.state().last_seq) matching -= std::min(matching, store_.count_matching(purge.end, filter));
  purge.left = matching > purge.request.keep ? matching - purge.request.keep : 0;
  purge.lost = store_.lost().size();
  purge.recount = false;
}

/// Is `seq`, which somebody else is about to remove, one of those that the purge under way has counted?
bool LocalStream::counts_for_purge(StreamSeq seq) {
  if (purging_ || purges_.empty()) return false;
  const Purge& purge = purges_.front();
  if (!purge.begun || purge.request.keep == 0 || purge.left == 0 || purge.recount || !is_filtered(purge.request)) return false;
  if (seq < purge.from || seq >= purge.end) return false;
  const auto stored = store_.load(seq);
  return stored && subject_matches(purge.request.filter, stored->subject);
}

/// @return true when nothing is left to do.
bool LocalStream::purge_some(Purge& purge) {
  if (!is_filtered(purge.request)) return purge_some_below(purge);
  const std::string& filter = purge.request.filter;
  if (purge.request.keep > 0 && (purge.recount || purge.lost != store_.lost().size())) count_left(purge);
  const uint64_t refused = store_.refused_reads();
  const auto first = store_.load_next(purge.from, ">");  // gaps cost no turns
  if (!first || first->seq >= purge.end) return true;
  purge.from = first->seq;
  const StreamSeq stop = std::min(purge.end, StreamSeq(first->seq.value() + kLookedAtATurn));
  for (int removed = 0; removed < kRemovedATurn; ++removed) {
    if (purge.left == 0) return true;
    const auto stored = store_.load_next_below(purge.from, stop, filter);
    if (!stored) {
      purge.from = stop;
      break;
    }
    const StreamSeq seq = stored->seq;
    const std::string subject(stored->subject);
    purge.from = seq.next();
    purging_ = true;
    const bool gone = drop(seq, false);
    purging_ = false;
    if (!gone) continue;
    ++purge.purged;
    if (purge.left != UINT64_MAX) --purge.left;
    observers_.each([&](StreamObserver& o) { o.on_removed(seq, subject); });
  }
  // What the disk refuses to read now can't be told from what does not match: the purge ends with what it removed.
  return purge.from >= purge.end || store_.refused_reads() != refused;
}

/// Everything below `end`: in one piece when nothing or little stays, otherwise from sequence to sequence.
bool LocalStream::purge_some_below(Purge& purge) {
  const StreamState state = store_.state();
  const StreamSeq end = purge.end;
  StreamSeq to = end;
  if (!purge.at_once) to = std::min(end, StreamSeq(state.first_seq.value() + kBelowATurn));
  if (to > state.first_seq || to > state.last_seq) {
    purging_ = true;
    purge.purged += remove_below(to);
    purging_ = false;
  }
  return to >= end;
}

void LocalStream::fail_purges(const Error& why) {
  for (Purge& purge : std::exchange(purges_, {})) purge.done(std::unexpected(why));
}

}  // namespace sluice
