#include "adapters/http_channel/durable_pull.h"

#include <nlohmann/json.hpp>
#include <algorithm>
#include <utility>

#include "base/log.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kRetry{3};
constexpr uint16_t kNoConsumer = 10014;
/// So many in a row after which nothing came again are no losses: somebody else takes from this consumer too.
constexpr int kMaxJumps = 4;
constexpr std::chrono::minutes kForgetJumps{10};

}  // namespace

DurablePull::DurablePull(Env& env, StreamClient& streams, DurablePullOptions options,
                         std::move_only_function<void(PulledMessage)> handler)
    : env_(env),
      streams_(streams),
      options_(std::move(options)),
      handler_(std::move(handler)),
      patience_timer_(env.timers.make([this] {
        expected_ = 0;
        hand_on();
      })),
      retry_timer_(env.timers.make([this] { look(); })) {
  retry_timer_->start(std::chrono::nanoseconds(0));
}

void DurablePull::look() {
  pull_.reset();
  call_ = streams_.api("CONSUMER.INFO", options_.stream + "." + options_.consumer, "",
                       [this](Result<std::string> info) {
                         call_.release();
                         if (info) return pull(*info);
                         if (info.error().api_code == kNoConsumer) return make();
                         again(info.error());
                       });
}

/// Where it begins is settled by the stream's end as it is now, once.
void DurablePull::make() {
  call_ = streams_.stream_info(options_.stream, [this](Result<StreamFigures> stream) {
    call_.release();
    if (!stream) return again(stream.error());
    ConsumerSpec spec;
    spec.stream = options_.stream;
    spec.durable = options_.consumer;
    spec.filter_subject = options_.filter_subject;
    spec.ack_wait = options_.ack_wait;
    spec.max_ack_pending = static_cast<int64_t>(options_.window);
    if (!options_.from_start) spec.start_seq = StreamSeq(stream->last_seq.value() + 1);
    call_ = streams_.create_consumer(spec, [this](Result<std::string> made) {
      call_.release();
      if (!made) return again(made.error());
      SLUICE_LOG(kLog, kInfo, "consumer made stream={} consumer={}", options_.stream, options_.consumer);
      look();
    });
  });
}

void DurablePull::pull(std::string_view info) {
  kept_.clear();  // it comes again
  guarded_ = keeping_ = true;
  jumps_ = 0;
  expect(info);
  told_.clear();
  pull_ = streams_.pull(
      options_.stream, options_.consumer, options_.window,
      [this](const ConsumedMessage& message) { on_message(message); }, [this](const Error& why) { again(why); });
  if (paused_) pull_->pause();
}

void DurablePull::on_message(const ConsumedMessage& message) {
  const uint64_t seq = message.stream_seq.value();
  const bool jumped = message.consumer_seq.value() != std::exchange(consumer_seq_, message.consumer_seq.value()) + 1;
  if (jumped && guarded_) on_jump();
  PulledMessage pulled{message.stream_seq,           message.time,
                       std::string(message.subject), std::string(message.headers),
                       std::string(message.payload), std::string(message.ack_subject)};
  if (!keeping_ || seq <= handed_on_) {
    handed_on_ = std::max(handed_on_, seq);
    return handler_(std::move(pulled));
  }
  const bool fresh = kept_.insert_or_assign(seq, std::move(pulled)).second;
  if (call_.active()) return;  // expect() counts it
  if (fresh && seq <= last_delivered_ && expected_ > 0 && --expected_ == 0) jumps_ = 0;
  if (expected_ == 0) hand_on();
}

/// What is missing is asked for: a leader that took over counts from what it had heard of the deliveries before.
void DurablePull::on_jump() {
  const MonoTime now = env_.clock.now();
  if (now - std::exchange(jumped_, now) > kForgetJumps) jumps_ = 0;
  if (++jumps_ > kMaxJumps) {
    guarded_ = false;
    SLUICE_LOG(kLog, kWarn, "somebody else takes from this consumer, its order is not kept stream={} consumer={}", options_.stream,
               options_.consumer);
    return hand_on();
  }
  SLUICE_LOG(kLog, kInfo, "deliveries were lost, waiting for them stream={} consumer={}", options_.stream, options_.consumer);
  keeping_ = true;
  call_ = streams_.api("CONSUMER.INFO", options_.stream + "." + options_.consumer, "", [this](Result<std::string> info) {
    call_.release();
    if (!info) return again(info.error());
    const uint64_t heard = consumer_seq_;
    expect(*info);
    consumer_seq_ = heard;  // the answer may be older than what came meanwhile
    if (expected_ == 0) hand_on();
  });
}

/// What the consumer has delivered beyond what was handed on, and what is not here, comes again.
void DurablePull::expect(std::string_view info) {
  const Json root = Json::parse(info, nullptr, false);
  const auto figure = [&](const char* pointer) {
    return root.is_object() ? root.value(Json::json_pointer(pointer), uint64_t{0}) : 0;
  };
  consumer_seq_ = figure("/delivered/consumer_seq");
  last_delivered_ = figure("/delivered/stream_seq");
  handed_on_ = std::min(handed_on_, last_delivered_);  // the stream may have been made again
  const auto here = static_cast<uint64_t>(std::distance(kept_.begin(), kept_.upper_bound(last_delivered_)));
  expected_ = std::min(figure("/num_ack_pending"), last_delivered_ - handed_on_);
  expected_ -= std::min(expected_, here);
  if (expected_ > 0)
    patience_timer_->start(2 * options_.ack_wait);
  else if (kept_.empty())
    keeping_ = false;
}

void DurablePull::hand_on() {
  patience_timer_->stop();
  keeping_ = false;
  for (auto& [seq, message] : std::exchange(kept_, {})) {
    handed_on_ = std::max(handed_on_, seq);
    handler_(std::move(message));
  }
}

/// The subscription that tells of trouble is dead; it goes when the next try begins.
void DurablePull::again(const Error& why) {
  if (told_ != why.detail) {
    told_ = why.detail;
    SLUICE_LOG(kLog, kWarn, "consumer not ready, tried again stream={} consumer={} why=\"{}\"", options_.stream,
               options_.consumer, why.detail);
  }
  retry_timer_->start(kRetry);
}

void DurablePull::pause() {
  paused_ = true;
  if (pull_) pull_->pause();
}

void DurablePull::resume() {
  paused_ = false;
  if (pull_) pull_->resume();
}

}  // namespace sluice
