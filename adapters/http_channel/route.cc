#include "adapters/http_channel/route.h"

#include <fmt/format.h>

#include <utility>

#include "adapters/cloud_events/nats_binding.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr size_t kRouteWindow = 256;

std::string route_consumer(const std::string& channel, const ChannelRoute& route) {
  return "eventchannel-" + channel + "-" + short_hash(route.stream + " " + route.subject);
}

}  // namespace

RouteFeed::RouteFeed(Env& env, StreamClient& streams, IngestPort& ingest, const HttpChannelOptions& channel,
                     const ChannelRoute& route, AdapterFigures& figures)
    : streams_(streams),
      ingest_(ingest),
      channel_(channel),
      stream_(route.stream),
      filter_(route.attributes),
      figures_(figures),
      source_(env, streams,
              {.stream = route.stream,
               .consumer = route_consumer(channel.name, route),
               .filter_subject = route.subject == ">" ? "" : route.subject,
               .from_start = route.from_start,
               .window = kRouteWindow},
              [this](PulledMessage message) { on_message(std::move(message)); }) {}

void RouteFeed::on_message(PulledMessage message) {
  if (stopped_ || !under_way_.insert(message.seq.value()).second) return;
  if (held_.empty() && forward(message)) return;
  if (held_.empty()) {
    ++figures_.paused;
    source_.pause();
  }
  held_.push_back(std::move(message));
}

void RouteFeed::stop() {
  stopped_ = true;
  source_.pause();
  held_.clear();
}

void RouteFeed::on_room() {
  if (stopped_) return;
  while (!held_.empty()) {
    if (!forward(held_.front())) return;
    held_.pop_front();
  }
  source_.resume();
}

bool RouteFeed::forward(const PulledMessage& message) {
  const auto event = outgoing_event(
      {stream_, message.seq, message.time, message.subject, message.headers, message.payload});
  if (!event) return offer_fault(message, event.error()) == Offer::kAccepted;
  if (filter_.fits(*event)) return offer_event(message, *event) == Offer::kAccepted;
  under_way_.erase(message.seq.value());
  streams_.ack(message.ack_subject);
  return true;
}

Offer RouteFeed::offer_event(const PulledMessage& message, const CloudEvent& event) {
  std::string lane;
  if (channel_.order == ChannelOrder::kChannel) lane = "channel";
  if (channel_.order == ChannelOrder::kKey) lane = "key " + std::string(event.get(channel_.key));
  const std::string subject = channel_subject(channel_.name, event);
  const std::string headers = write_nats_headers(event);
  return ingest_.offer({subject, headers, event.data, event_msg_id(event), lane, place_of(message)}, settler(message));
}

Offer RouteFeed::offer_fault(const PulledMessage& message, const EventFault& fault) {
  const Offer offer =
      ingest_.dead_letter({fault.reason, fault.detail, message.subject, message.payload, place_of(message)}, settler(message));
  if (offer == Offer::kAccepted) ++figures_.rejected[std::string(fault.reason)];
  return offer;
}

std::string RouteFeed::place_of(const PulledMessage& message) const { return fmt::format("{}/{}", stream_, message.seq.value()); }

/// What the channel's stream refuses for good is a dead letter by then. Only a stop leaves the message
/// unacknowledged.
Stored RouteFeed::settler(const PulledMessage& message) {
  return [this, seq = message.seq.value(), ack = message.ack_subject](const Result<PubAck>& stored) {
    under_way_.erase(seq);
    if (!stored && stored.error().code == Errc::kClosed) return;
    if (!stored) ++figures_.rejected["refused"];
    streams_.ack(ack);
  };
}

}  // namespace sluice
