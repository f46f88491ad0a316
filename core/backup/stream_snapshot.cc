#include "backup/stream_snapshot.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/headers.h"
#include "base/limits.h"
#include "base/nuid.h"
#include "base/parse_number.h"
#include "stream/stream_info.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
constexpr std::chrono::nanoseconds kWaitForListener = 2s;
constexpr std::chrono::nanoseconds kWaitForAnswer = 5s;
/// A client that asks with an inbox of its common one's subscribes to it only when it has the answer.
constexpr std::chrono::nanoseconds kWaitForOwnInbox = 500ms;
constexpr size_t kSlice_bytes = 1 * kMiB;
constexpr size_t kSlice_messages = 2000;

uint64_t clamp_or(uint64_t asked, uint64_t otherwise, uint64_t low, uint64_t high) {
  return asked == 0 ? otherwise : std::clamp(asked, low, high);
}

size_t chunk_of(const SnapshotRequest& r) { return clamp_or(r.chunk_size, 128 * kKiB, kKiB, kMiB); }
size_t window_of(const SnapshotRequest& r) {
  return std::max(chunk_of(r), static_cast<size_t>(clamp_or(r.window_size, 8 * kMiB, kKiB, 32 * kMiB)));
}

}  // namespace

StreamSnapshot::StreamSnapshot(Env& env, Bus& bus, Streams& streams, Stream& stream,
                               const SnapshotRequest& request, std::vector<std::string> consumers,
                               Ended ended)
    : env_(env),
      bus_(bus),
      streams_(streams),
      stream_(stream.config().name),
      created_(stream.created()),
      deliver_(request.deliver_subject),
      chunk_bytes_(chunk_of(request)),
      window_bytes_(window_of(request)),
      consumers_(std::move(consumers)),
      state_json_(stream_state_json(stream, {.consumer_count = consumers_.size() / 2, .domain = {}, .leader = {}})),
      last_(stream.visible_last()),
      next_(1),
      ended_(std::move(ended)),
      timer_(env.timers.make([this] {
        if (!begun_) return begin();
        end(408, "No Flow Response");
      })),
      anchor_(std::make_shared<StreamSnapshot*>(this)) {
  ack_prefix_ = fmt::format("$JS.SNAPSHOT.ACK.{}.{}.", stream_, make_nuid(env.random));
  acks_ = bus_.subscribe(ack_prefix_ + "*.*", "", [this](const Message& m, const Origin&) { on_ack(m.subject); });
  if (bus_.has_interest(deliver_, "")) {
    // The answer to the request goes first. Whoever hears a neighbour too listens with a wildcard.
    const std::string neighbour = deliver_.substr(0, deliver_.rfind('.') + 1) + make_nuid(env.random);
    timer_->start(bus_.has_interest(neighbour, "") ? kWaitForOwnInbox : 0ns);
    return;
  }
  watch_ = bus_.watch_interest(deliver_, "", [this](bool there) {
    if (there) begin();
  });
  timer_->start(kWaitForListener);
}

StreamSnapshot::~StreamSnapshot() = default;

void StreamSnapshot::begin() {
  if (std::exchange(begun_, true) || over_) return;
  timer_->stop();
  std::string raw;
  archive_.begin(raw);
  const WallNanos now = env_.clock.wall();
  archive_.entry({.name = kArchiveState, .time = now, .seq = {}, .headers = {}, .body = state_json_}, raw);
  for (size_t i = 0; i + 1 < consumers_.size(); i += 2)
    archive_.entry({.name = consumers_[i], .time = now, .seq = {}, .headers = {}, .body = consumers_[i + 1]}, raw);
  consumers_.clear();
  compressor_.write(raw);
  later();
}

void StreamSnapshot::later() {
  if (std::exchange(queued_, true)) return;
  env_.executor.post([weak = std::weak_ptr<StreamSnapshot*>(anchor_)] {
    const auto self = weak.lock();
    if (!self) return;
    (*self)->queued_ = false;
    (*self)->pump();
  });
}

/// One slice a callback, until the window is full or all is sent.
void StreamSnapshot::pump() {
  if (over_) return;
  if (!send_full_chunks()) return;
  if (all_produced_) return send_rest();
  if (!produce()) return end(500, "stream is no longer there");
  out_.erase(0, std::exchange(out_at_, 0));
  out_ += compressor_.take();
  later();
}

bool StreamSnapshot::produce() {
  Stream* stream = streams_.find(stream_);
  if (stream == nullptr || stream->created() != created_) return false;
  std::string raw;
  for (size_t count = 0; count < kSlice_messages && raw.size() < kSlice_bytes; ++count) {
    const auto message = stream->store().load_next(next_, ">");
    if (!message || message->seq > last_) {
      archive_.end(raw);
      all_produced_ = true;
      break;
    }
    next_ = message->seq.next();
    archive_.entry({.name = message->subject,
                    .time = message->time,
                    .seq = message->seq,
                    .headers = message->headers,
                    .body = message->payload},
                   raw);
  }
  compressor_.write(raw);
  if (all_produced_) compressor_.flush();
  return true;
}

/// @return false when it has to wait, or is over.
bool StreamSnapshot::send_full_chunks() {
  while (out_.size() - out_at_ >= chunk_bytes_) {
    if (in_flight_bytes_ + chunk_bytes_ > window_bytes_) {
      timer_->start(kWaitForAnswer);
      return false;
    }
    const std::string_view chunk = std::string_view(out_).substr(out_at_, chunk_bytes_);
    const std::string reply = fmt::format("{}{}.{}", ack_prefix_, chunk.size(), ++chunks_);
    in_flight_bytes_ += chunk.size();
    sent_bytes_ += chunk.size();
    out_at_ += chunk.size();
    if (bus_.publish({.subject = deliver_, .reply = reply, .headers = "", .payload = chunk}) == 0) {
      end(408, "No Interest");
      return false;
    }
    if (over_) return false;
  }
  return true;
}

void StreamSnapshot::send_rest() {
  const std::string_view rest = std::string_view(out_).substr(out_at_);
  sent_bytes_ += rest.size();
  if (!rest.empty() && bus_.publish({.subject = deliver_, .reply = "", .headers = "", .payload = rest}) == 0)
    return end(408, "No Interest");
  end(204, "");
}

/// `<prefix><bytes>.<index>`
void StreamSnapshot::on_ack(std::string_view subject) {
  if (over_) return;
  subject.remove_prefix(ack_prefix_.size());
  const auto bytes = parse_decimal<uint64_t>(subject.substr(0, subject.find('.')));
  if (!bytes || *bytes > chunk_bytes_) return;
  in_flight_bytes_ -= std::min<size_t>(in_flight_bytes_, static_cast<size_t>(*bytes));
  if (!timer_->active()) return;  // nobody waits for it
  timer_->stop();
  later();
}

void StreamSnapshot::end(uint16_t code, std::string_view text) {
  if (std::exchange(over_, true)) return;
  timer_->stop();
  // Clients that never had a chunk to answer get the end without a status, as the reference sends it.
  const bool plain = code == 204 && chunks_ == 0;
  const std::string headers = plain ? std::string() : make_status_block(code, text);
  bus_.publish({.subject = deliver_, .reply = "", .headers = headers, .payload = ""});
  ended_(code == 204 ? Status{} : Status{fail(Errc::kTimeout, std::string(text))});
}

}  // namespace sluice
