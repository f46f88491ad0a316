#include "client/pull_subscription.h"

#include <algorithm>
#include <utility>

#include "client/api_json.h"
#include "client/parse_number.h"

namespace sluice {
namespace {

constexpr int kMaxMissed = 2;
constexpr int kMaxUnanswered = 4;
constexpr std::chrono::milliseconds kRetryDelay{250};

}  // namespace

PullLoop::PullLoop(Env& env, NatsLink& link, PullOptions options,
                   std::move_only_function<void(const ConsumedMessage&)> handler,
                   std::move_only_function<void(const Error&)> trouble)
    : env_(env),
      link_(link),
      options_(std::move(options)),
      handler_(std::move(handler)),
      trouble_(std::move(trouble)),
      inbox_prefix_(link.new_inbox() + "."),
      heartbeat_timer_(env.timers.make([this] { on_heartbeat_timer(); })),
      retry_timer_(env.timers.make([this] { refill(); })),
      state_listener_(link.on_state([this](LinkState state) { on_link_state(state); })),
      subscription_(link.subscribe(inbox_prefix_ + "*", "",
                                   [this](const LinkMessage& message) { on_message(message); })) {
  refill();
}

void PullLoop::pause() { paused_ = true; }

void PullLoop::resume() {
  paused_ = false;
  refill();
}

bool PullLoop::has_enough_open() const {
  if (outstanding_ <= options_.window / 2) return false;
  return options_.window_bytes == 0 || outstanding_bytes_ > options_.window_bytes / 2;
}

void PullLoop::refill() {
  if (dead_ || paused_ || retry_timer_->active()) return;
  if (link_.state() != LinkState::kConnected) return;  // on_link_state comes back here
  while (!has_enough_open()) {
    const bool alone = std::exchange(too_large_, false);
    const size_t half = std::max<size_t>(options_.window / 2, 1);
    const size_t batch = alone ? 1 : options_.window_bytes != 0 ? half : options_.window - outstanding_;
    if (!ask(batch, alone ? 0 : options_.window_bytes / 2)) return retry_later();
  }
  if (!heartbeat_timer_->active()) heartbeat_timer_->start(options_.heartbeat);
}

bool PullLoop::ask(size_t batch, size_t most_bytes) {
  const std::string inbox = inbox_prefix_ + std::to_string(next_request_);
  const std::string body = encode_pull(batch, most_bytes, options_.expires, options_.heartbeat);
  if (!link_.publish({options_.next_subject, inbox, {}, body})) return false;
  ++next_request_;
  if (outstanding_ == 0) last_heard_ = env_.clock.now();
  outstanding_ += batch;
  outstanding_bytes_ += most_bytes;
  return true;
}

void PullLoop::retry_later() {
  if (!retry_timer_->active()) retry_timer_->start(kRetryDelay * (1 + unanswered_));
}

void PullLoop::forget_requests() {
  first_valid_request_ = next_request_;
  outstanding_ = 0;
  outstanding_bytes_ = 0;
}

void PullLoop::on_message(const LinkMessage& message) {
  if (dead_) return;
  const HeaderStatus status = header_status(message.headers);
  if (status.code != 0 && message.payload.empty()) {
    on_status(status, message);
    return;
  }
  auto consumed = parse_delivery_subject(message.reply);
  if (!consumed) return;  // somebody else's message in our inbox
  last_heard_ = env_.clock.now();
  missed_ = 0;
  unanswered_ = 0;
  if (outstanding_ > 0) --outstanding_;
  outstanding_bytes_ -= std::min(outstanding_bytes_, message.subject.size() + message.reply.size() +
                                                         message.headers.size() + message.payload.size());
  delivered_ = true;
  refill();
  consumed->subject = message.subject;
  consumed->headers = message.headers;
  consumed->payload = message.payload;
  handler_(*consumed);
}

void PullLoop::on_status(const HeaderStatus& status, const LinkMessage& message) {
  const auto request = inbox_token(message.subject);
  if (!request || *request < first_valid_request_) return;
  last_heard_ = env_.clock.now();
  missed_ = 0;
  if (status.code == 100) return;
  if (status.code == 503) {
    forget_requests();
    if (++unanswered_ >= kMaxUnanswered)
      return die({Errc::kNoResponders, 0, "the consumer does not answer"});
    return retry_later();
  }
  unanswered_ = 0;
  if (status.code == 404 || status.code == 408) {
    give_back(message);
    return refill();
  }
  if (status.code == 409) return on_conflict(status, message);
  die({Errc::kRefused, 0,
       "pull refused: " + std::to_string(status.code) + " " + std::string(status.text)});
}

void PullLoop::on_conflict(const HeaderStatus& status, const LinkMessage& message) {
  const std::string_view text = status.text;
  if (text == "Batch Completed" || text.starts_with("Message Size Exceeds")) {
    give_back(message);
    if (text != "Batch Completed") too_large_ = !std::exchange(delivered_, false);
    return refill();
  }
  if (text == "Consumer Deleted") return die({Errc::kNotFound, 0, "the consumer was deleted"});
  if (text == "Leadership Change" || text == "Server Shutdown" || text == "Exceeded MaxWaiting") {
    forget_requests();
    return retry_later();
  }
  die({Errc::kRefused, 0, "pull refused: 409 " + std::string(text)});
}

void PullLoop::give_back(const LinkMessage& message) {
  const auto count = find_header(message.headers, "Nats-Pending-Messages");
  const auto unserved = count ? parse_decimal<uint64_t>(*count) : std::nullopt;
  // Without a count the request's remainder is unknown: count too low rather than too high, the
  // server then has at most one window more to fill.
  outstanding_ = unserved ? outstanding_ - std::min<uint64_t>(outstanding_, *unserved) : 0;
  const auto bytes = find_header(message.headers, "Nats-Pending-Bytes");
  const auto unused = bytes ? parse_decimal<uint64_t>(*bytes) : std::nullopt;
  // Who is served to the last message does not tell what it left of the bytes.
  outstanding_bytes_ = unused && outstanding_ != 0 ? outstanding_bytes_ - std::min<uint64_t>(outstanding_bytes_, *unused) : 0;
}

void PullLoop::on_link_state(LinkState state) {
  if (dead_) return;
  forget_requests();  // a request dies with its connection
  missed_ = 0;
  if (state != LinkState::kConnected) return;
  retry_timer_->stop();
  refill();
}

void PullLoop::on_heartbeat_timer() {
  if (dead_) return;
  if (outstanding_ == 0 || link_.state() != LinkState::kConnected) return;  // refill() re-arms
  heartbeat_timer_->start(options_.heartbeat);
  if (env_.clock.now() - last_heard_ < 2 * options_.heartbeat) return;
  if (++missed_ >= kMaxMissed)
    return die({Errc::kTimeout, 0, "the server sends no heartbeats for this consumer"});
  forget_requests();
  refill();
}

void PullLoop::die(Error why) {
  dead_ = true;
  heartbeat_timer_->stop();
  retry_timer_->stop();
  trouble_(why);
}

}  // namespace sluice
