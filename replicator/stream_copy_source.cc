// Of a copy: how its source is read, and what is made of sequences that are missing there.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "replicator/stream_copy.h"

namespace sluice {
namespace {

constexpr size_t kLeastReadWindow_bytes = 16 * 1024;
constexpr size_t kUsualReadWindow_bytes = 4 * 1024 * 1024;
constexpr size_t kMostReadWindow_bytes = 16 * 1024 * 1024;
constexpr size_t kLeastRead_bytes = 512;     // of a message in memory, however short
constexpr size_t kMostTaken_count = 16'384;  // of a queue and not settled, each of which its server keeps in memory
constexpr double kReadRate = 100e6;  // bytes a second that are hoped for

}  // namespace

/// What a long way from the source carries, as it is not to be waited for; all of that may have to wait here when the target is slow.
/// With a pace the source's link is not to carry in one burst what then takes minutes to send.
size_t StreamCopy::read_window_bytes(std::chrono::nanoseconds source_trip) const {
  const uint64_t rate = pace_ ? pace_->largest_rate() : 0;
  if (rate != 0) return std::clamp<size_t>(2 * rate, kLeastReadWindow_bytes, std::max(options_.window_bytes, kLeastReadWindow_bytes));
  const double carried = kReadRate * std::chrono::duration<double>(source_trip).count();
  return std::min({options_.window_bytes, kUsualReadWindow_bytes + static_cast<size_t>(carried), kMostReadWindow_bytes});
}

/// What a queue at either end can't be copied with; empty = nothing.
std::string StreamCopy::why_no_queue(const ResumePlan& plan) const {
  if (plan.target.retention != StreamRetention::kLimits && (state_dir_.empty() || !options_.leader_election_name.empty())) {
    return fmt::format("target stream '{}' is a queue, which gives its copies away and with them where the copy stands: {}", options_.target_stream,
                       state_dir_.empty() ? "a state folder (state_store) is needed" : "one replicator only, no 'leader_election_name'");
  }
  if (plan.source.retention == StreamRetention::kLimits) return "";
  const char* why = nullptr;
  if (state_dir_.empty())
    why = "its messages are taken away once the position is on disk: a state folder (state_store) is needed";
  else if (options_.ephemeral || options_.start_at_end || options_.start_sequence != 0 || options_.start_delta.count() != 0 ||
           options_.start_time != 0)
    why = "what lies before the start would be taken away and not copied: no start settings, no 'ephemeral'";
  return why == nullptr ? "" : fmt::format("source stream '{}' is a queue: {}", options_.stream, why);
}

void StreamCopy::read_source(const ResumePlan& plan) {
  SourceReader::Events events{[this](const ConsumedMessage& message) { on_message(message); },
                              [this](const std::string& why) { end_session(why); }};
  const std::string description = "Sluice replicator " + copy_.replicator + " " + options_.name;
  if (is_queue_) {
    reader_ = read_queue(env_, sites_.source,
                         {.stream = options_.stream,
                          .worker = options_.name,
                          .filters = options_.filters(),
                          .created = plan.source.created,
                          .window_messages = 2 * std::min(options_.window_messages, kMostTaken_count),
                          .window_bytes = read_window_bytes(plan.source_trip),
                          .description = description},
                         std::move(events));
    return;
  }
  reader_ = read_log(env_, sites_.source,
                     {.stream = options_.stream,
                      .filters = options_.filters(),
                      .created = plan.source.created,
                      .first = plan.is_anchored ? plan.position.source_seq.next() : StreamSeq(0),
                      .start_time = plan.start_time,
                      .window_messages = std::min(options_.window_messages, read_window_bytes(plan.source_trip) / kLeastRead_bytes),
                      .window_bytes = read_window_bytes(plan.source_trip),
                      .consumer_prefix = "SR_" + options_.name,
                      .description = description},
                     std::move(events));
}

void StreamCopy::on_message(const ConsumedMessage& m) {
  if (figures_.state != CopyState::kCopying || stopped_) return;
  if (!is_anchored_) {
    is_anchored_ = true;
    ahead_.source_seq = m.stream_seq.prev();
    figures_.position.source_seq = ahead_.source_seq;
  }
  // Seen to be gone while it was on its way: overwritten, and counted as such.
  if (m.stream_seq <= (held_.empty() ? ahead_.source_seq : held_.back().seq)) {
    ++figures_.repeated;
    if (m.stream_seq <= written_) reader_->settled(written_);
    return;
  }
  Read message{m.stream_seq, m.time, std::string(m.subject), std::string(m.headers), std::string(m.payload)};
  figures_.read_bytes += message.payload.size();
  if (held_.empty()) {
    const uint64_t missing = m.stream_seq.value() - ahead_.source_seq.value() - 1;
    if (missing == 0) return take(std::move(message), {});
    if (!options_.filters().empty()) return take(std::move(message), {.filtered = missing});
    if (is_queue_) return take(std::move(message), {.removed = missing});  // others take from it too
  }
  held_.push_back(std::move(message));
  if (!asking_first_) classify_held();
}

/// Sequences are missing although nothing is filtered. Whether they were removed one by one or the stream's
/// front went away is told by where it begins now.
void StreamCopy::classify_held() {
  asking_first_ = true;
  first_of_source_ = sites_.source.stream_info(
      options_.stream, [this](const Result<StreamFigures>& info) { on_first_of_source(info); });
}

void StreamCopy::on_first_of_source(const Result<StreamFigures>& info) {
  asking_first_ = false;
  if (figures_.state != CopyState::kCopying) return;
  if (!info) return end_session(fmt::format("source stream '{}': {}", options_.stream, info.error().detail));
  if (info->created != ahead_.origin_created) return end_session("the source stream was made anew");
  const uint64_t first = info->first_seq.value();
  while (!held_.empty()) {
    const uint64_t expected = ahead_.source_seq.value() + 1;
    const uint64_t got = held_.front().seq.value();
    const uint64_t purged = first > expected ? std::min(first, got) - expected : 0;
    if (purged != 0) {
      // Policy is applied where a session begins.
      if (options_.on_gap != OnGap::kContinue) return end_session("the source's front went before it was copied");
      note_gap(fmt::format("{} messages of source stream '{}' went before they were copied, from {} on", purged,
                           options_.stream, expected));
    }
    Read message = std::move(held_.front());
    held_.pop_front();
    take(std::move(message), {.removed = got - expected - purged, .purged = purged});
    if (figures_.state != CopyState::kCopying) return;
  }
}

/// What went at the source between these sequences (the end is not in) and was copied before: an earlier session
/// did, which never heard of it. `gap` is less by that.
uint64_t StreamCopy::take_marks(uint64_t first, uint64_t end, GapCounts& gap) {
  if (on_target_.empty()) return 0;
  const auto drop_below = [this](uint64_t seq) {
    const uint64_t before = on_target_.size();
    on_target_.erase_below(seq);
    return before - on_target_.size();
  };
  (void)drop_below(first);
  const uint64_t purged = std::min(drop_below(first + gap.purged), gap.purged);
  const uint64_t others = drop_below(end);
  uint64_t& counted_as = gap.filtered != 0 ? gap.filtered : gap.removed;
  SLUICE_CHECK(others <= counted_as);
  gap.purged -= purged;
  counted_as -= others;
  return purged + others;
}

/// The source holds nothing for this copy up to `through`: without this a filtered copy would never be
/// seen to have caught up.
void StreamCopy::pass_nothing(StreamSeq through) {
  CopyPosition& position = figures_.position;
  if (figures_.state != CopyState::kCopying || !writer_ || !writer_->idle() || !held_.empty() || !is_anchored_) return;
  if (through <= position.source_seq || ahead_.source_seq != position.source_seq) return;
  GapCounts gap;
  uint64_t& nothing = options_.filters().empty() ? gap.removed : gap.filtered;
  const uint64_t passed = nothing = through.value() - position.source_seq.value();
  const uint64_t marked = take_marks(position.source_seq.value() + 1, through.value() + 1, gap);
  for (CopyPosition* p : {&position, &ahead_}) {
    p->source_seq = through;
    p->source_end = through;
    p->ledger.read += passed;
    p->ledger.copied += marked;
    p->ledger.removed += gap.removed;
    p->ledger.filtered += gap.filtered;
  }
  remembered_ = position;
  schedule_position_write();
}

void StreamCopy::note_gap(const std::string& gap) {
  ++figures_.gaps;
  figures_.last_gap = gap;
  SLUICE_LOG(log_, kWarn, "gap at the source copy={} what=\"{}\"", options_.id(), gap);
}

}  // namespace sluice
