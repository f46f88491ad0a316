// What an origin's consumer delivers: messages in order, heartbeats, flow control.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/headers.h"
#include "base/parse_number.h"
#include "consumer/ack_reply.h"
#include "sourcing/source_link.h"
#include "subject/subject.h"

namespace sluice {
namespace {

/// The consumer's name in an ack subject of either form; empty when it is none.
std::string_view consumer_of(std::string_view ack_subject) {
  const auto dots = std::count(ack_subject.begin(), ack_subject.end(), '.');
  const int at = dots == 8 ? 3 : dots >= 10 ? 5 : -1;
  if (at < 0) return {};
  SubjectTokens tokens(ack_subject);
  std::string_view token;
  for (int i = 0; i <= at; ++i)
    if (!tokens.next(token)) return {};
  return token;
}

uint64_t number_of(std::string_view headers, std::string_view name) {
  const auto value = find_header(headers, name);
  return value ? parse_decimal<uint64_t>(*value).value_or(0) : 0;
}

}  // namespace

void SourceLink::on_delivery(const Message& message) {
  if (state_ != State::kCopying) return;
  if (message.payload.empty() && header_status(message.headers).code != 0) return on_control(message);
  const auto meta = parse_ack_subject(message.reply);
  if (!meta || consumer_of(message.reply) != consumer_) return;
  if (meta->deliveries > 1) return;
  heard_at_ = env_.clock.now();
  if (!in_order(message, *meta)) return;
  const Held place{.seq = meta->stream_seq, .time = meta->time, .pending = meta->num_pending,
                   .subject = {}, .headers = {}, .payload = {}, .flow_reply = {}};
  offer(place, message.subject, message.headers, message.payload);
}

bool SourceLink::in_order(const Message&, const DeliveryMeta& meta) {
  const uint64_t seq = meta.consumer_seq.value();
  // The operator's consumer goes on counting where it stood.
  const bool next = seq == consumer_seq_ + 1 || (source_.consumer && consumer_seq_ == 0);
  if (!next) {
    begin_again({Errc::kCorrupt, 0, fmt::format("a delivery was missed: {} came after {}", seq, consumer_seq_)});
    return false;
  }
  consumer_seq_ = seq;
  origin_seq_ = meta.stream_seq.value();
  return true;
}

void SourceLink::on_control(const Message& message) {
  heard_at_ = env_.clock.now();
  if (header_status(message.headers).code != 100) return;
  if (!message.reply.empty()) {  // a flow-control request
    if (held_.empty()) return answer_flow_control(std::string(message.reply));
    return hold({.seq = {}, .subject = {}, .headers = {}, .payload = {}, .flow_reply = std::string(message.reply)});
  }
  const uint64_t last = number_of(message.headers, "Nats-Last-Consumer");
  if (consumer_seq_ != last && !(source_.consumer && consumer_seq_ == 0))
    return begin_again({Errc::kCorrupt, 0,
                        fmt::format("a delivery was missed: the origin sent {}, {} came", last, consumer_seq_)});
  if (const auto stalled = find_header(message.headers, "Nats-Consumer-Stalled"); stalled && held_.empty())
    answer_flow_control(std::string(*stalled));
}

/// The answer says that everything before it is safe here.
void SourceLink::answer_flow_control(std::string reply) {
  std::string headers;
  append_header(headers, "Nats-Last-Consumer", std::to_string(consumer_seq_));
  append_header(headers, "Nats-Last-Stream", std::to_string(origin_seq_));
  stream_.when_durable([weak = std::weak_ptr<SourceLink*>(anchor_), to = std::move(reply),
                        block = std::move(headers), epoch = epoch_] {
    const auto self = weak.lock();
    if (!self || (*self)->epoch_ != epoch || (*self)->state_ != State::kCopying) return;
    (void)(*self)->port_.publish({.subject = to, .reply = "", .headers = block, .payload = ""});
  });
}

std::string_view SourceLink::mapped(std::string_view subject) {
  for (const SubjectTransform& transform : transforms_) {
    if (transform.keeps_subject()) continue;
    if (transform.map(subject, transform.uses_random() ? env_.random.u64() : 0, subject_)) return subject_;
  }
  return subject;
}

Status SourceLink::hand_over(StreamSeq seq, WallNanos time, std::string_view subject,
                             std::string_view headers, std::string_view payload) {
  const std::string_view to = mapped(subject);
  if (target_.kind == CopyKind::kMirror)
    return stream_.inbox()->take_mirrored(seq, time,
                                          {.subject = to, .reply = "", .headers = headers, .payload = payload});
  if (seq.value() <= last_taken()) return {};
  headers_ = headers;
  remove_headers_with_prefix(headers_, "Nats-Expected-");
  remove_headers_with_prefix(headers_, "Nats-Batch-");
  set_header(headers_, "Nats-Stream-Source", source_header(source_, seq.value(), subject, identity_));
  const Message message{.subject = to, .reply = "", .headers = headers_, .payload = payload};
  return stream_.inbox()->take_sourced(
      {.message = message, .key = key_, .origin_seq = seq.value(), .identity = identity_});
}

void SourceLink::tell_whether_current() {
  if (target_.kind == CopyKind::kMirror) stream_.inbox()->set_mirror_current(lag_ < kCurrent);
}

void SourceLink::offer(const Held& place, std::string_view subject, std::string_view headers,
                       std::string_view payload) {
  if (held_.empty()) {
    const Status taken = hand_over(place.seq, place.time, subject, headers, payload);
    if (taken) {
      ++counters_.copied;
      lag_ = place.pending;
      tell_whether_current();
      failures_ = 0;
      return;
    }
    if (taken.error().code != Errc::kFull || taken.error().api_code != 10167) {
      ++counters_.refused;
      return begin_again(taken.error());
    }
  }
  Held held = place;
  held.subject = subject;
  held.headers = headers;
  held.payload = payload;
  hold(std::move(held));
}

/// Until what the stream has taken is on disk.
void SourceLink::hold(Held held) {
  held_bytes_ += held.subject.size() + held.headers.size() + held.payload.size() + held.flow_reply.size();
  held_.push_back(std::move(held));
  if (held_bytes_ > kMaxHeld_bytes || held_.size() > kMaxHeld_count) {
    ++counters_.overflowed;
    return begin_again({Errc::kFull, 0, "the disk does not keep up with the origin"});
  }
  if (std::exchange(draining_, true)) return;
  stream_.when_durable([weak = std::weak_ptr<SourceLink*>(anchor_)] {
    const auto self = weak.lock();
    if (self) (*self)->post(&SourceLink::drain);
  });
}

void SourceLink::drain() {
  draining_ = false;
  std::deque<Held> waiting;
  waiting.swap(held_);
  held_bytes_ = 0;
  if (state_ != State::kCopying) return;
  const uint64_t epoch = epoch_;
  for (Held& held : waiting) {
    if (state_ != State::kCopying || epoch != epoch_) return;
    if (held.flow_reply.empty())
      offer(held, held.subject, held.headers, held.payload);
    else if (held_.empty())
      answer_flow_control(std::move(held.flow_reply));
    else
      hold(std::move(held));
  }
}

}  // namespace sluice
