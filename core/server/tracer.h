// Which messages are traced, and where what happened to them is told (ADR-41).
//
// A message says so itself, by Nats-Trace-Dest, or carries a sampled W3C traceparent and its account
// traces those. For all others the price is one look at the names of their headers, if they have any.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "io/clock.h"
#include "io/random.h"
#include "server/traced_message.h"

namespace sluice {

class Account;

/// Whether a header block names tracing at all.
bool mentions_tracing(std::string_view headers);
/// Sets Nats-Trace-Dest to "trace disabled": no server that the message reaches traces it.
void disable_tracing(std::string& headers);
/// Nats-Trace-Dest becomes another subject.
void redirect_trace(std::string& headers, std::string_view destination);
void set_trace_hop(std::string& headers, std::string_view hop);

/// Loop thread only.
class Tracer {
 public:
  /// What becomes of a message whose headers mention tracing.
  enum class Wish : uint8_t {
    kNothing,  ///< it is like any other
    kDisable,  ///< …but nobody behind us may trace it
    kDrop,     ///< it must not arrive, and nobody can be told why
    kTrace,
  };

  /// @param server_json  this server, as its events show it
  Tracer(Clock& clock, Random& random, std::function<std::string()> server_json);

  /// @param first_server  the message comes from a client, not from another server
  Wish read(std::string_view headers, const Account& account, bool first_server,
            TraceRequest& request);
  void publish(const TracedMessage& trace, Account& account);
  void collect(MetricSink& sink) const;

 private:
  Clock& clock_;
  Random& random_;
  std::function<std::string()> server_json_;
  uint64_t traced_ = 0;
  uint64_t unusable_ = 0;
};

}  // namespace sluice
