// What happened on all connections since start.
#pragma once

#include <cstdint>

namespace sluice {

/// As Server::counters() gives it; the first four are sums over the accounts.
struct ServerCounters {
  uint64_t in_msgs = 0;
  uint64_t in_bytes = 0;  ///< headers and payload
  uint64_t out_msgs = 0;
  uint64_t out_bytes = 0;
  uint64_t total_connections = 0;
  uint64_t slow_consumers_pending = 0;
  uint64_t slow_consumers_deadline = 0;
  uint64_t stale_connections = 0;
  uint64_t auth_failures = 0;
  uint64_t auth_timeouts = 0;
  uint64_t permission_violations = 0;
  uint64_t protocol_errors = 0;
  uint64_t tls_handshake_failures = 0;
  uint64_t throttled_connections = 0;  ///< tls.connection_rate_limit
  uint64_t refused_connections = 0;    ///< max_connections
  uint64_t refused_subscriptions = 0;  ///< max_subscriptions
  uint64_t dropped_messages = 0;       ///< no_fast_producer_stall
  uint64_t read_pauses = 0;            ///< a publisher waited for a congested subscriber
};

}  // namespace sluice
