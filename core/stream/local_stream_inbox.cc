// LocalStream as a mirror and as a target of sources.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/headers.h"
#include "stream/local_stream.h"
#include "stream/sequence_limit.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kPositionsSaved{1};

}  // namespace

bool LocalStream::inbox_is_full() const {
  return answers_.count() >= parts_.options.max_buffered_msgs ||
         answers_.message_bytes() >= parts_.options.max_buffered_bytes;
}

Status LocalStream::take_mirrored(StreamSeq seq, WallNanos time, const Message& message) {
  if (closed_) return fail_api(Errc::kClosed, 10059, "");
  if (inbox_is_full()) return fail_api(Errc::kFull, 10167, "");
  if (seq <= store_.state().last_seq) return {};
  if (seq > kLastStreamSeq) return fail_api(Errc::kRefused, 10077, fmt::format("the origin's sequence {} is beyond what a stream can hold", seq.value()));
  std::string mapped;
  const Message stored = transformed(message, mapped);
  const PublishHeaders headers =
      message.headers.empty() ? PublishHeaders{} : parse_publish_headers(message.headers);
  const Verdict verdict = ingest_.judge_mirrored({.message = stored, .headers = headers, .now = time});
  switch (verdict.kind) {
    case Verdict::Kind::kRefuse: return std::unexpected(verdict.why);
    case Verdict::Kind::kSkip:
    case Verdict::Kind::kDuplicate: skip_mirrored_to(seq, time); return {};
    case Verdict::Kind::kStore: break;
  }
  if (seq > store_.state().last_seq.next()) store_.skip_to(StreamSeq(seq.value() - 1), time);
  store_message(verdict, stored, {}, time, nullptr);
  return {};
}

void LocalStream::skip_mirrored_to(StreamSeq seq, WallNanos time) {
  store_.skip_to(seq, time);
  ++counters_.skipped;
  advance_to(seq);
}

Status LocalStream::take_sourced(const SourcedMessage& sourced) {
  if (closed_) return fail_api(Errc::kClosed, 10059, "");
  if (inbox_is_full()) return fail_api(Errc::kFull, 10167, "");
  std::string mapped;
  const Message stored = transformed(sourced.message, mapped);
  const PublishHeaders headers = parse_publish_headers(stored.headers);
  const WallNanos now = stamp();
  const Verdict verdict = ingest_.judge_sourced({.message = stored, .headers = headers, .now = now});
  if (verdict.kind == Verdict::Kind::kRefuse) return std::unexpected(verdict.why);
  const bool carried = verdict.kind == Verdict::Kind::kStore;
  positions_.advance(sourced.key, {.seq = sourced.origin_seq,
                                   .identity = std::string(sourced.identity),
                                   .carrier = carried ? store_.state().last_seq.next() : StreamSeq()});
  if (!positions_timer_->active()) positions_timer_->start(kPositionsSaved);
  act(verdict, stored, headers.msg_id, now, nullptr);
  return {};
}

void LocalStream::save_positions() {
  if (closed_ || !positions_.unsaved()) return;
  positions_.saved(store_.state().last_seq);
  if (parts_.store != nullptr) parts_.store->update_stream_meta(parts_.config.name, meta_json(parts_.config));
}

/// Own messages from `first` up to below `end` are about to go.
void LocalStream::save_positions_before_removal(StreamSeq first, StreamSeq end) {
  if (positions_.needed_by_removal(first, end)) save_positions();
}

void LocalStream::reset_source(std::string_view key, std::string_view identity) {
  positions_.advance(key, {.seq = 0, .identity = std::string(identity), .carrier = {}});
  save_positions();
}

void LocalStream::keep_sources(const std::vector<std::string>& keys) {
  positions_.keep_only([&](const std::string& key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  });
  save_positions();
}

void LocalStream::set_mirror_current(bool current) {
  if (std::exchange(mirror_current_, current) == current) return;
  if (!closed_ && parts_.config.mirror && parts_.config.mirror_direct) subscribe();
}

/// The streams in whose name it answers direct gets.
std::vector<std::string> LocalStream::directly_read_names() const {
  const StreamConfig& c = parts_.config;
  std::vector<std::string> out;
  if (c.allow_direct) out.push_back(c.name);
  if (c.mirror && c.mirror_direct && !c.mirror->external && mirror_current_) out.push_back(c.mirror->name);
  return out;
}

std::vector<SourceStatus> LocalStream::source_status() const {
  return reporter_ ? reporter_() : std::vector<SourceStatus>{};
}

/// Whatever was stored after the last save speaks for itself.
void LocalStream::recover_positions() {
  positions_ = parts_.positions;
  if (parts_.config.sources.empty()) return;
  StreamSeq from = positions_.saved_at().next();
  while (const auto stored = store_.load_next(from, ">")) {
    from = stored->seq.next();
    const auto value = find_header(stored->headers, "Nats-Stream-Source");
    const auto header = value ? parse_source_header(*value) : std::nullopt;
    if (!header) continue;
    positions_.advance(header->key, {.seq = header->seq,
                                     .identity = std::string(header->identity),
                                     .carrier = stored->seq});
  }
  save_positions();
}

}  // namespace sluice
