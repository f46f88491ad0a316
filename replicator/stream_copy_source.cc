// Of a copy: how its source is read.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "replicator/stream_copy.h"

namespace sluice {
namespace {

constexpr size_t kLeastReadWindow_bytes = 16 * 1024;

}  // namespace

/// With a pace the source's link is not to carry in one burst what then takes minutes to send.
size_t StreamCopy::read_window_bytes() const {
  const uint64_t rate = pace_ ? pace_->largest_rate() : 0;
  return rate == 0 ? options_.window_bytes : std::clamp<size_t>(2 * rate, kLeastReadWindow_bytes, std::max(options_.window_bytes, kLeastReadWindow_bytes));
}

/// What a queue as the source can't be copied with; empty = nothing.
std::string StreamCopy::why_no_queue(const ResumePlan& plan) const {
  if (plan.source.retention == StreamRetention::kLimits) return "";
  const char* why = nullptr;
  if (state_dir_.empty())
    why = "its messages are taken away once the position is on disk: a state folder (state_store) is needed";
  else if (options_.ephemeral || options_.start_at_end || options_.start_sequence != 0 || options_.start_delta.count() != 0 ||
           options_.start_time != 0)
    why = "what lies before the start would be taken away and not copied: no start settings, no 'ephemeral'";
  else if (plan.target.retention != StreamRetention::kLimits && !options_.leader_election_name.empty())
    why = "into another queue it can be copied by one replicator only: no 'leader_election_name'";
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
                          .window_messages = 2 * options_.window_messages,
                          .window_bytes = read_window_bytes(),
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
                      .window_messages = options_.window_messages,
                      .window_bytes = read_window_bytes(),
                      .consumer_prefix = "SR_" + options_.name,
                      .description = description},
                     std::move(events));
}

}  // namespace sluice
