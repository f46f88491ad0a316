#include "adapters/http_channel/durable_pull.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kRetry{3};
constexpr uint16_t kNoConsumer = 10014;

}  // namespace

DurablePull::DurablePull(Env& env, StreamClient& streams, DurablePullOptions options,
                         std::move_only_function<void(PulledMessage)> handler)
    : streams_(streams),
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
  const Json root = Json::parse(info, nullptr, false);
  kept_.clear();  // it comes again
  expected_ = root.is_object() ? root.value("num_ack_pending", uint64_t{0}) : 0;
  last_delivered_ = root.is_object() ? root.value("/delivered/stream_seq"_json_pointer, uint64_t{0}) : 0;
  if (expected_ > 0)
    patience_timer_->start(2 * options_.ack_wait);
  else
    patience_timer_->stop();
  told_.clear();
  pull_ = streams_.pull(
      options_.stream, options_.consumer, options_.window,
      [this](const ConsumedMessage& message) { on_message(message); }, [this](const Error& why) { again(why); });
  if (paused_) pull_->pause();
}

void DurablePull::on_message(const ConsumedMessage& message) {
  PulledMessage pulled{message.stream_seq,           message.time,
                       std::string(message.subject), std::string(message.headers),
                       std::string(message.payload), std::string(message.ack_subject)};
  if (!patience_timer_->active()) return handler_(std::move(pulled));
  const uint64_t seq = message.stream_seq.value();
  const bool fresh = kept_.insert_or_assign(seq, std::move(pulled)).second;
  if (fresh && seq <= last_delivered_ && expected_ > 0) --expected_;
  if (expected_ == 0) hand_on();
}

void DurablePull::hand_on() {
  patience_timer_->stop();
  for (auto& [seq, message] : std::exchange(kept_, {})) handler_(std::move(message));
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
