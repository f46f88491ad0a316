// One route of a channel: a durable consumer of a stream, whose events go into the channel's stream.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>

#include "adapters/adapter.h"
#include "adapters/http_channel/durable_pull.h"
#include "adapters/http_channel/outgoing.h"
#include "adapters/ingest_port.h"

namespace sluice {

/// Happy path: message → event → filter → into the channel's stream → ack when it is durable there. What
/// does not fit is acknowledged at once; what says it is an event and is none becomes a dead letter. While
/// the channel's window is full nothing more is pulled; what comes again meanwhile is known by its sequence.
/// Loop thread only.
class RouteFeed {
 public:
  /// All referred to outlives it.
  RouteFeed(Env& env, StreamClient& streams, IngestPort& ingest, const HttpChannelOptions& channel,
            const ChannelRoute& route, AdapterFigures& figures);

  bool running() const { return source_.running(); }
  std::string trouble() const { return source_.running() ? "" : "stream '" + stream_ + "': " + source_.trouble(); }
  void on_room();
  /// Takes nothing more; what is under way still settles.
  void stop();

 private:
  void on_message(PulledMessage message);
  /// @return false when the window is full.
  bool forward(const PulledMessage& message);
  Offer offer_event(const PulledMessage& message, const CloudEvent& event);
  Offer offer_fault(const PulledMessage& message, const EventFault& fault);
  std::string place_of(const PulledMessage& message) const;
  Stored settler(const PulledMessage& message);

  StreamClient& streams_;
  IngestPort& ingest_;
  const HttpChannelOptions& channel_;
  const std::string stream_;
  const AttributeFilter filter_;
  AdapterFigures& figures_;
  bool stopped_ = false;
  std::deque<PulledMessage> held_;          ///< pulled and not taken by the window; as many as were pulled
  std::unordered_set<uint64_t> under_way_;  ///< sequences held or offered
  DurablePull source_;
};

}  // namespace sluice
