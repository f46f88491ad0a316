// The road to an origin's JetStream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "bus/bus.h"
#include "client/nats_link.h"
#include "io/env.h"

namespace sluice {

/// Loop thread only. Handlers may be called from within publish().
class OriginPort {
 public:
  using Handler = std::move_only_function<void(const Message&)>;
  class Subscription {
   public:
    virtual ~Subscription() = default;  ///< unsubscribes; safe inside its own handler
  };

  virtual ~OriginPort() = default;
  virtual std::unique_ptr<Subscription> subscribe(std::string_view subject, Handler handler) = 0;
  /// @return false when nobody is there to take it.
  virtual bool publish(const Message& message) = 0;
  /// A fresh subject for the answer to one request.
  virtual std::string new_inbox() = 0;
  /// What stands in place of `$JS.API` for a source with this `external.api` (empty = none).
  virtual std::string api_prefix(std::string_view external_api) const = 0;
};

std::unique_ptr<OriginPort> make_bus_port(Env& env, Bus& bus);
/// @param domain  of the remote's JetStream; empty = `$JS.API` as it is.
std::unique_ptr<OriginPort> make_link_port(NatsLink& link, std::string_view domain);

}  // namespace sluice
