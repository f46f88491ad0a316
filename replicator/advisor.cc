#include "replicator/advisor.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/headers.h"
#include "client/backoff.h"
#include "replicator/ksuid.h"

namespace sluice {
namespace {

constexpr size_t kMaxQueue_count = 1000;
constexpr int kMaxTries = 10;
constexpr std::chrono::seconds kAckTimeout{2};
constexpr WallNanos kSecond = 1'000'000'000;

std::string fill_in(std::string subject, std::string_view sign, std::string_view text) {
  for (size_t at = 0; (at = subject.find(sign, at)) != std::string::npos; at += text.size())
    subject.replace(at, sign.size(), text);
  return subject;
}

}  // namespace

const char* to_string(AgeEvent event) {
  switch (event) {
    case AgeEvent::kNew: return "new";
    case AgeEvent::kTimeout: return "timeout";
    case AgeEvent::kRecover: return "recover";
    case AgeEvent::kExpire: return "expire";
  }
  return "";
}

Advisor::Advisor(Env& env, StreamClient& client, AdvisoryOptions options, std::string inspected, std::string replicator)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      inspected_(std::move(inspected)),
      replicator_(std::move(replicator)),
      retry_timer_(env.timers.make([this] { pump(); })) {}

bool Advisor::tell(AgeEvent event, std::string_view value, const TrackedItem& item) {
  if (queue_.size() >= kMaxQueue_count) {
    ++dropped_;
    return false;
  }
  const WallNanos now = env_.clock.wall();
  Waiting waiting;
  waiting.event = event;
  waiting.subject = fill_in(fill_in(options_.subject, "%s", to_string(event)), "%v", value);
  waiting.id = make_ksuid(now, env_.random);
  const bool seen = item.seen != kZeroTime;
  waiting.body = nlohmann::ordered_json{{"protocol", "io.choria.sr.v2.age_advisory"},
                                        {"event_id", waiting.id},
                                        {"inspect_field", inspected_},
                                        {"age", seen ? (now - item.seen) / kSecond : -1},
                                        {"seen", seen ? item.seen / kSecond : 0},
                                        {"replicator", replicator_},
                                        {"timestamp", now / kSecond},
                                        {"event", to_string(event)},
                                        {"value", value}}
                     .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  queue_.push_back(std::move(waiting));
  pump();
  return true;
}

void Advisor::pump() {
  while (!sending_ && !retry_timer_->active() && !queue_.empty()) {
    Waiting& first = queue_.front();
    if (!options_.reliable) {
      done_with_first(client_.link().publish({first.subject, {}, {}, first.body}).has_value());
      continue;
    }
    std::string headers;
    append_header(headers, "Nats-Msg-Id", first.id);
    sending_ = true;
    ++first.tries;
    call_ = client_.publish({first.subject, {}, headers, first.body}, kAckTimeout,
                            [this](const Result<PubAck>& ack) { on_ack(ack); });
  }
}

void Advisor::on_ack(const Result<PubAck>& ack) {
  sending_ = false;
  if (queue_.empty()) return;
  const int tries = queue_.front().tries;
  if (!ack && tries < kMaxTries) {
    retry_timer_->start(five_sec_backoff(tries, env_.random));
    return;
  }
  done_with_first(ack.has_value());
  pump();
}

void Advisor::done_with_first(bool told) {
  ++(told ? told_[static_cast<size_t>(queue_.front().event)] : failed_);
  queue_.pop_front();
}

void Advisor::drop_all() {
  call_.cancel();
  retry_timer_->stop();
  sending_ = false;
  dropped_ += queue_.size();
  queue_.clear();
}

}  // namespace sluice
