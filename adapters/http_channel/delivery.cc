#include "adapters/http_channel/delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "adapters/cloud_events/json_format.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kAckWait{5};
constexpr std::chrono::milliseconds kKeepAlive{1500};
constexpr size_t kShownAnswer_bytes = 200;

enum class Verdict : uint8_t { kDelivered, kAgain, kWrong, kGone };

/// 4xx that speak of the event are for ever; those that speak of us or the moment may pass.
Verdict verdict_of(uint16_t status) {
  if (status >= 200 && status < 300) return Verdict::kDelivered;
  switch (status) {
    case 400:
    case 406:
    case 413:
    case 414:
    case 415:
    case 422:
    case 431:
      return Verdict::kWrong;
    case 410:
      return Verdict::kGone;
    default:
      return Verdict::kAgain;
  }
}

std::string shown(const HttpResponse& answer) {
  return fmt::format("{} {}", answer.status, std::string_view(answer.body).substr(0, kShownAnswer_bytes));
}

}  // namespace

ChannelDelivery::ChannelDelivery(Env& env, StreamClient& streams, IngestPort& letters,
                                 const HttpChannelOptions& options, HttpClient& http, AdapterFigures& figures)
    : env_(env),
      streams_(streams),
      letters_(letters),
      options_(options),
      http_(http),
      figures_(figures),
      pump_timer_(env.timers.make([this] { pump(); })),
      alive_timer_(env.timers.make([this] { keep_alive(); })),
      source_(std::make_unique<DurablePull>(env, streams,
                                            DurablePullOptions{.stream = options.stream,
                                                               .consumer = "eventchannel-" + options.name + "-delivery",
                                                               .ack_wait = kAckWait,
                                                               .window = options.max_in_flight},
                                            [this](PulledMessage message) { on_message(std::move(message)); })) {}

// ---- taking

void ChannelDelivery::on_message(PulledMessage message) {
  if (gone_ || stopping_) return;
  const uint64_t seq = message.seq.value();
  if (const auto held = held_.find(seq); held != held_.end()) {
    held->second.message.ack_subject = std::move(message.ack_subject);  // come again while it is here
    return;
  }
  ++figures_.received;
  figures_.received_bytes += message.payload.size();
  Held held;
  auto event = outgoing_event({options_.stream, message.seq, message.time, message.subject, message.headers, message.payload});
  if (event) {
    if (options_.order == ChannelOrder::kChannel) held.lane = "channel";
    if (options_.order == ChannelOrder::kKey) held.lane = "key " + std::string(event->get(options_.key));
    held.event = *std::move(event);
  } else {
    held.fault = event.error();
  }
  held.message = std::move(message);
  held_.emplace(seq, std::move(held));
  if (!alive_timer_->active()) alive_timer_->start(kKeepAlive);
  pump_timer_->start(std::chrono::nanoseconds(0));
}

/// Tells the stream that what is held here is being worked on.
void ChannelDelivery::keep_alive() {
  if (held_.empty()) return;
  for (auto place = held_.begin(); place != held_.end(); ++place) {
    if (place->second.state == State::kDelivered)
      acknowledge(place);
    else
      (void)streams_.link().publish({place->second.message.ack_subject, {}, {}, "+WPI"});
  }
  alive_timer_->start(kKeepAlive);
}

// ---- sending

void ChannelDelivery::pump() {
  if (stopping_ || gone_) return;
  const MonoTime now = env_.clock.now();
  size_t sending = 0;
  for (const auto& [seq, held] : held_) sending += held.state == State::kSending ? 1 : 0;
  std::optional<MonoTime> next;
  std::set<std::string_view> busy;
  std::vector<uint64_t> turn;
  for (const auto& [seq, held] : held_) {
    if (held.state == State::kDelivered) continue;
    if (!held.lane.empty() && !busy.insert(held.lane).second) continue;
    if (held.state != State::kWaiting || sending + turn.size() >= options_.concurrency) continue;
    const MonoTime due = std::max(held.due, not_before_);
    if (due <= now)
      turn.push_back(seq);
    else
      next = next ? std::min(*next, due) : due;
  }
  for (const uint64_t seq : turn) {
    const Place place = held_.find(seq);
    if (place == held_.end()) continue;
    if (place->second.event)
      send(place);
    else
      bury(place, place->second.fault.reason, place->second.fault.detail);
  }
  if (next) pump_timer_->start(*next - now);
}

void ChannelDelivery::send(Place place) {
  Held& held = place->second;
  held.state = State::kSending;
  ++held.attempts;
  held.call = http_.post(delivery_request(options_, *held.event),
                         [this, seq = place->first](Result<HttpResponse> answer) { on_answer(seq, std::move(answer)); });
}

void ChannelDelivery::on_answer(uint64_t seq, Result<HttpResponse> answer) {
  const Place place = held_.find(seq);
  if (place == held_.end()) return;
  Held& held = place->second;
  held.call.release();
  held.state = State::kWaiting;
  const Verdict verdict = answer ? verdict_of(answer->status) : Verdict::kAgain;
  switch (verdict) {
    case Verdict::kDelivered:
      if (!std::exchange(failing_, "").empty())
        SLUICE_LOG(kLog, kInfo, "endpoint answers again adapter={}", options_.name);
      ++figures_.accepted;
      held.state = State::kDelivered;
      acknowledge(place);
      break;
    case Verdict::kWrong:
      bury(place, "refused", shown(*answer));
      break;
    case Verdict::kGone:
      return end_for_good();
    case Verdict::kAgain:
      if (answer)
        try_again(held, shown(*answer), &*answer);
      else
        try_again(held, answer.error().detail, nullptr);
      break;
  }
  pump_timer_->start(std::chrono::nanoseconds(0));
  tell_settled();
}

void ChannelDelivery::try_again(Held& held, std::string_view why, const HttpResponse* answer) {
  ++figures_.refused[answer == nullptr ? "unreachable" : fmt::format("status_{}", answer->status)];
  if (failing_.empty())
    SLUICE_LOG(kLog, kWarn, "endpoint does not take events adapter={} why=\"{}\"", options_.name, why);
  failing_ = why;
  const MonoTime now = env_.clock.now();
  const auto doubled = options_.first_retry * (int64_t{1} << std::min<uint64_t>(held.attempts - 1, 20));
  const auto full = std::clamp(doubled, options_.first_retry, options_.last_retry);
  held.due = now + full / 2 + std::chrono::nanoseconds(static_cast<int64_t>(
                                  env_.random.below(static_cast<uint64_t>(full.count() / 2) + 1)));
  if (answer != nullptr) {
    for (const auto& [name, value] : answer->headers) {
      if (name != "retry-after") continue;
      if (const auto wait = retry_after(value, env_.clock.wall())) not_before_ = std::max(not_before_, now + *wait);
    }
  }
  const auto age = std::chrono::nanoseconds(env_.clock.wall() - held.message.time);
  const bool old = options_.give_up_after.count() > 0 && age >= options_.give_up_after;
  const bool spent = options_.max_attempts > 0 && held.attempts >= options_.max_attempts;
  if (!old && !spent) return;
  const Place place = held_.find(held.message.seq.value());
  bury(place, spent ? "too_many_attempts" : "too_old", fmt::format("after {} attempts: {}", held.attempts, why));
}

// ---- ends of an event

/// The letter is the whole event as JSON, so that it can be delivered again.
void ChannelDelivery::bury(Place place, std::string_view reason, const std::string& detail) {
  Held& held = place->second;
  const std::string bytes = held.event ? write_json_event(*held.event) : held.message.payload;
  held.state = State::kBurying;
  const Offer offer = letters_.dead_letter(
      {reason, detail, options_.endpoint, bytes, fmt::format("{}/{}", options_.stream, place->first)}, [this, seq = place->first](const Result<PubAck>& kept) {
        const Place at = held_.find(seq);
        if (at == held_.end() || (!kept && kept.error().code == Errc::kClosed)) return;
        at->second.state = State::kDelivered;
        acknowledge(at);
        pump_timer_->start(std::chrono::nanoseconds(0));
      });
  if (offer == Offer::kFull) {
    held.state = State::kWaiting;  // asked again, and judged again, when there is room
    held.due = std::max(held.due, env_.clock.now() + options_.first_retry);
    return;
  }
  ++figures_.rejected[std::string(reason)];
}

void ChannelDelivery::on_room() {
  if (!stopping_ && !gone_) pump_timer_->start(std::chrono::nanoseconds(0));
}

/// Until the stream says that it has the ack: one that is lost would deliver the event a second time.
void ChannelDelivery::acknowledge(Place place) {
  place->second.call = streams_.ack_sync(place->second.message.ack_subject, [this, seq = place->first](Status done) {
    const Place at = held_.find(seq);
    if (at == held_.end()) return;
    at->second.call.release();
    if (!done) return;  // keep_alive() tries again
    held_.erase(at);
    tell_settled();
  });
}

/// The endpoint says that it will never come back (410): what is in the stream waits for a person.
void ChannelDelivery::end_for_good() {
  gone_ = true;
  ++figures_.refused["gone"];
  SLUICE_LOG(kLog, kError,
             "endpoint is gone for good (410), nothing more is delivered until the adapter is changed or the daemon "
             "started again adapter={} endpoint={}",
             options_.name, options_.endpoint);
  held_.clear();
  alive_timer_->stop();
  source_->pause();
  tell_settled();
}

void ChannelDelivery::stop() {
  stopping_ = true;
  pump_timer_->stop();
  source_->pause();
  for (auto place = held_.begin(); place != held_.end();) {
    if (place->second.state != State::kWaiting) {
      ++place;
      continue;
    }
    (void)streams_.link().publish({place->second.message.ack_subject, {}, {}, "-NAK"});
    place = held_.erase(place);
  }
}

size_t ChannelDelivery::under_way() const {
  return static_cast<size_t>(
      std::count_if(held_.begin(), held_.end(), [](const auto& one) { return one.second.state != State::kWaiting; }));
}

void ChannelDelivery::tell_settled() {
  if (settled_) settled_();
}

}  // namespace sluice
