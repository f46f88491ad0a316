// What an operator may set of the NATS listener. Plain data; config fills it, the room only reads
// it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/limits.h"

namespace sluice {

struct UserOptions {
  std::string user = {};
  std::string password = {};
};

/// Defaults are those of nats-server. All users live in the one account "$G".
struct ServerOptions {
  std::string host = "0.0.0.0";
  uint16_t port = 4222;          ///< 0 = any free port
  std::string server_name = {};  ///< empty = the server's id

  /// One of the three makes authentication required: one user, a token, or several users. Secrets
  /// stand here in clear; bcrypt hashes are refused by check_options().
  std::string user = {};
  std::string password = {};
  std::string token = {};
  std::vector<UserOptions> users = {};
  /// One of `users`, as whom a client without any credentials is taken; empty = such are refused.
  std::string no_auth_user = {};

  size_t max_payload = kDefaultMaxPayload_bytes;
  size_t max_control_line = kDefaultMaxControlLine_bytes;
  /// Bytes waiting for one connection; above that it is cut as a slow consumer.
  size_t max_pending = kDefaultMaxPending_bytes;
  size_t max_connections = 65'536;         ///< 0 = refuse everybody
  size_t max_subscriptions = 0;            ///< of one connection; 0 = without limit
  size_t max_closed_connections = 10'000;  ///< remembered for the monitor

  std::chrono::nanoseconds ping_interval = std::chrono::minutes(2);
  uint32_t ping_max = 2;  ///< unanswered PINGs before a connection is stale
  std::chrono::nanoseconds auth_timeout = std::chrono::seconds(2);
  std::chrono::nanoseconds write_deadline = std::chrono::seconds(10);
  /// Longest time for which a publisher is not read because a subscriber of its is congested; half
  /// a ping interval at most, whatever stands here.
  std::chrono::nanoseconds max_read_pause = std::chrono::seconds(5);

  bool jetstream = false;   ///< what INFO says of JetStream
  std::string domain = {};  ///< JetStream domain; empty = none
};

/// What contradicts itself (kInvalidArgument) or can't be done yet (kUnsupported).
Status check_options(const ServerOptions& options);

}  // namespace sluice
