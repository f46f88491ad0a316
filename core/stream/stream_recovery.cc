// The start of a stream on what its store has: ids of the duplicate window, TTLs.
#include "stream/local_stream.h"

namespace sluice {
namespace {

/// Messages looked at in one go by the scan of headers.
constexpr int kScanSlice = 2000;

}  // namespace

void LocalStream::recover() {
  const WallNanos since = parts_.env.clock.wall() - parts_.config.duplicate_window.count();
  if (dedup_.enabled())
    store_.each_msg_id(since, [this](std::string_view id, StreamSeq seq, WallNanos time) {
      dedup_.insert(id, seq, time);
    });
  scan_from_ = StreamSeq(1);
  scan_end_ = store_.state().last_seq;
  scan_headers();
  recover_positions();
  const StreamSeq last = store_.state().last_seq;
  if (last.is_zero()) return;
  if (auto stored = store_.load(last); stored && !stored->headers.empty())
    last_msg_id_ = parse_publish_headers(stored->headers).msg_id;
}

/// TTLs and schedules stand in the headers of the messages only. A large stream is looked through a slice at a
/// time, while it already serves; nothing expires or fires before the scan is through, because until then
/// what never expires, or was fired before, is not known.
void LocalStream::scan_headers() {
  const bool schedules = parts_.config.allow_msg_schedules;
  if (!parts_.config.allow_msg_ttl && !schedules) scan_from_ = scan_end_.next();
  for (int looked_at = 0; scan_from_ <= scan_end_ && looked_at < kScanSlice; ++looked_at) {
    const auto stored = store_.load_next(scan_from_, ">");
    if (!stored || stored->seq > scan_end_) {
      scan_from_ = scan_end_.next();
      break;
    }
    scan_from_ = stored->seq.next();
    if (stored->headers.empty()) continue;
    const StreamSeq seq = stored->seq;
    if (const auto ttl = parse_message_ttl(parse_publish_headers(stored->headers).ttl); ttl && parts_.config.allow_msg_ttl)
      ttl_.insert(seq, stored->time, *ttl);
    if (schedules) note_schedule(std::string(stored->subject), std::string(stored->headers), seq, stored->time);
  }
  if (scan_from_ <= scan_end_) return scan_timer_->start(std::chrono::nanoseconds(0));
  arm_expiry_timer();
  arm_schedule_timer();
}

}  // namespace sluice
