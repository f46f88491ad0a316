// A connection to a NATS system, whatever it is: the embedded core through the bus (BusLink), or any
// NATS server over the network (core/remote). Adapters, the replicator and the spool see nothing below.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ticket.h"

namespace sluice {

/// Views are for the call only.
struct LinkMessage {
  std::string_view subject;
  std::string_view reply;
  std::string_view headers;  ///< whole block "NATS/1.0…\r\n\r\n"; empty = none
  std::string_view payload;
};

enum class LinkState : uint8_t { kConnecting, kConnected, kReconnecting, kClosed };

/// Bytes of all connections of a link, as the protocol has them and as they crossed the network.
struct LinkTraffic {
  uint64_t sent = 0;
  uint64_t sent_on_wire = 0;
  uint64_t received = 0;
  uint64_t received_on_wire = 0;
  bool compressed = false;  ///< the present connection
};

class LinkSubscription {
 public:
  virtual ~LinkSubscription() = default;  ///< unsubscribes
  /// Stops taking messages from the network; what then piles up is bounded by the peer's own limits
  /// (TCP pushes back). resume() goes on. Used when the target is full.
  virtual void pause() = 0;
  virtual void resume() = 0;
  /// Takes no more from the far end, but what it had sent already is still handed out while this lives: at once over the
  /// bus, over a network when it comes.
  virtual void drain() = 0;
};

/// Loop thread only; all callbacks come on the loop. Survives broken connections: subscriptions are
/// made again after each reconnect, for ever.
class NatsLink {
 public:
  virtual ~NatsLink() = default;
  virtual LinkState state() const = 0;
  /// Told on each change of state(). One listener per handle returned; dropping it ends that.
  virtual Ticket on_state(std::move_only_function<void(LinkState)> listener) = 0;

  /// kFull: the bounded send buffer is full, try again later; kClosed: not connected (nothing is
  /// buffered over a broken connection).
  virtual Status publish(const LinkMessage& message) = 0;
  /// `done` runs once, later: the first reply, kTimeout, kNoResponders (status 503) or kClosed.
  virtual Ticket request(const LinkMessage& message, std::chrono::nanoseconds timeout,
                         std::move_only_function<void(Result<LinkMessage>)> done) = 0;
  virtual std::unique_ptr<LinkSubscription> subscribe(
      std::string_view subject, std::string_view queue,
      std::move_only_function<void(const LinkMessage&)> handler) = 0;
  /// A fresh inbox subject of this link.
  virtual std::string new_inbox() = 0;
  /// Name of the peer for logs and metrics: "embedded" or the connected URL without secrets.
  virtual std::string peer() const = 0;
  /// Messages this link knows it lost (a client library's own bounded queue).
  virtual uint64_t dropped() const = 0;
  /// Zeros where nothing crosses a network.
  virtual LinkTraffic traffic() const { return {}; }
};

}  // namespace sluice
