// What clients send back: acknowledgements in all their forms, and pulls.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "consumer/consumer.h"

namespace sluice {
namespace {

/// Percent of acks to report; 0 = none. The text was checked when the config came in.
uint64_t sample_percent(std::string_view freq) {
  if (freq.ends_with('%')) freq.remove_suffix(1);
  uint64_t percent = 0;
  std::from_chars(freq.data(), freq.data() + freq.size(), percent);
  return percent;
}

}  // namespace

void Consumer::subscribe() {
  const std::string asset = place_.stream.config().name + "." + config_.name;
  const std::string& domain = place_.options.domain;
  const auto listen = [this](const std::string& subject, BusHandler handler) {
    subscriptions_.push_back(place_.bus.subscribe(subject, {}, std::move(handler)));
  };
  const auto pulls = [this](const Message& message, const Origin&) {
    if (!closed_ && pulls_->receive(message.payload, message.reply, message.headers)) enlist();
  };
  listen("$JS.API.CONSUMER.MSG.NEXT." + asset, pulls);
  if (!domain.empty()) listen(fmt::format("$JS.{}.API.CONSUMER.MSG.NEXT.{}", domain, asset), pulls);
  if (config_.ack_policy == AckPolicy::kNone || config_.ack_policy == AckPolicy::kFlowControl) return;
  const auto acks = [this](const Message& message, const Origin&) { on_ack(message); };
  listen("$JS.ACK." + asset + ".>", acks);
  listen(fmt::format("$JS.ACK.{}.{}.{}.>", domain.empty() ? "_" : domain, place_.options.account_hash, asset), acks);
}

void Consumer::on_ack(const Message& message) {
  if (closed_) return;
  touch();
  const auto meta = ack_subject_.parse(message.subject);
  const AckBody body = parse_ack_body(message.payload);
  if (meta) {
    switch (body.verb) {
      case AckVerb::kAck:
      case AckVerb::kNext:
        if (!config_.sample_freq.empty()) sample(*meta);
        ack(*meta);
        break;
      case AckVerb::kNak: nak(*meta, body.delay); break;
      case AckVerb::kProgress: progress(meta->stream_seq); break;
      case AckVerb::kTerm: terminate(*meta, body.rest); break;
      case AckVerb::kUnknown: break;
    }
  }
  if (body.verb == AckVerb::kNext) {
    pulls_->receive(body.rest, message.reply, {});
  } else if (!message.reply.empty() && (body.verb == AckVerb::kNak || !meta || !delivery_was_lost(meta->stream_seq))) {
    confirmations_.emplace_back(message.reply);
  }
  enlist();
}

/// An acknowledgement of a message that, as far as we know, is still to be handed out: a crash took the
/// record of its delivery. It will come again, so its acknowledgement must not be confirmed.
bool Consumer::delivery_was_lost(StreamSeq seq) const {
  return seq <= backlog_.visible() && cursor_.is_ahead(seq);
}

/// When this round's acknowledgements came: the clock is read once for a burst of them, not for each.
WallNanos Consumer::ack_time() {
  if (acked_at_ == kZeroTime) acked_at_ = place_.env.clock.wall();
  return acked_at_;
}

void Consumer::ack(const DeliveryMeta& meta) {
  if (config_.ack_policy != AckPolicy::kAll) return ack_one(meta.stream_seq);
  state_.ack_all(meta.stream_seq, ack_time(), [this](StreamSeq seq) {
    ++counters_.acked;
    if (place_.stream.config().retention != Retention::kLimits) place_.stream.consumer_done(seq);
  });
}

/// The answer to a flow-control request: everything up to Nats-Last-Stream has been taken over.
void Consumer::flow_acked(std::string_view headers) {
  if (closed_ || config_.ack_policy != AckPolicy::kFlowControl) return;
  const std::string_view text = header_value(headers, "Nats-Last-Stream");
  uint64_t last = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), last);
  if (text.empty() || failed != std::errc{} || end != text.data() + text.size()) return;
  state_.ack_all(std::min(StreamSeq(last), state_.delivered().stream), ack_time(), [this](StreamSeq seq) {
    ++counters_.acked;
    if (place_.stream.config().retention != Retention::kLimits) place_.stream.consumer_done(seq);
  });
  enlist();
}

void Consumer::ack_one(StreamSeq seq) {
  if (state_.ack(seq, ack_time()) == ConsumerState::AckEffect::kUnknown) return;
  ++counters_.acked;
  if (place_.stream.config().retention != Retention::kLimits) place_.stream.consumer_done(seq);
}

void Consumer::nak(const DeliveryMeta& meta, std::optional<std::chrono::nanoseconds> delay) {
  PendingMessage* message = state_.pending().find(meta.stream_seq);
  if (message == nullptr) return;
  advisories_.naked({meta.consumer_seq, meta.stream_seq, meta.deliveries});
  if (!delay || delay->count() <= 0) return requeue(*message);
  const auto wait = wait_after(message->deliveries);
  const auto later = std::min(*delay, std::chrono::nanoseconds(std::chrono::hours(24 * 365)));
  // Kept as the time of a delivery whose wait ends at the wanted moment: survives a restart.
  state_.set_time(*message, place_.env.clock.wall() + (later - wait).count(), place_.env.clock.now() + later);
  redelivery_.arm(*message, state_.pending());
  arm_redelivery(message->due);
}

void Consumer::progress(StreamSeq seq) {
  PendingMessage* message = state_.pending().find(seq);
  if (message == nullptr) return;
  state_.set_time(*message, place_.env.clock.wall(), place_.env.clock.now() + wait_after(message->deliveries));
  redelivery_.arm(*message, state_.pending());
  arm_redelivery(message->due);
}

void Consumer::terminate(const DeliveryMeta& meta, std::string_view reason) {
  if (state_.pending().find(meta.stream_seq) != nullptr)
    advisories_.terminated({meta.consumer_seq, meta.stream_seq, meta.deliveries}, reason);
  ack(meta);
}

void Consumer::sample(const DeliveryMeta& meta) {
  const PendingMessage* message = state_.pending().find(meta.stream_seq);
  if (message == nullptr || place_.env.random.below(100) >= sample_percent(config_.sample_freq)) return;
  advisories_.ack_metric({meta.consumer_seq, meta.stream_seq, meta.deliveries},
                         std::chrono::nanoseconds(place_.env.clock.wall() - message->time));
}

void Consumer::confirm_acks() {
  if (confirmations_.empty()) return;
  auto answer = [bus = &place_.bus, replies = std::move(confirmations_)] {
    for (const std::string& reply : replies) bus->publish(Message{reply, {}, {}, {}});
  };
  confirmations_.clear();
  Store* store = place_.stream.config().storage == StorageKind::kFile ? place_.store : nullptr;
  if (store == nullptr) {
    place_.stream.when_durable(std::move(answer));  // a memory consumer: at most the stream's removals count
  } else {
    store->when_durable(store->last_commit(), std::move(answer));
  }
}

}  // namespace sluice
