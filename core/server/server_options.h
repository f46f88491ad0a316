// What an operator may set of the NATS listener. Plain data; config fills it, the room only reads
// it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "crypto/tls_acceptor.h"
#include "server/account_options.h"
#include "websocket/ws_options.h"

namespace sluice {

/// Defaults are those of nats-server. Users that stand in no account live in "$G".
struct ServerOptions {
  std::string host = "0.0.0.0";
  uint16_t port = 4222;          ///< 0 = any free port
  std::string server_name = {};  ///< empty = the server's id

  /// Any of these makes authentication required: one user, a token, or users, here or in accounts.
  /// Secrets stand here in clear or as bcrypt hashes.
  std::string user = {};
  std::string password = {};
  std::string token = {};
  std::vector<UserOptions> users = {};
  /// A user, here or in an account, as whom a client without any credentials is taken; empty = such
  /// are refused.
  std::string no_auth_user = {};
  /// Of the users of "$G" that have none of their own.
  std::optional<PermissionOptions> default_permissions = {};
  std::vector<MappingOptions> mappings = {};  ///< of "$G"
  std::vector<AccountOptions> accounts = {};
  std::string system_account = {};  ///< one of `accounts`; empty = "$SYS"
  OperatorMode operator_mode = {};  ///< then neither users nor accounts stand here

  size_t max_payload = kDefaultMaxPayload_bytes;
  size_t max_control_line = kDefaultMaxControlLine_bytes;
  /// Bytes waiting for one connection; above that it is cut as a slow consumer.
  size_t max_pending = kDefaultMaxPending_bytes;
  size_t max_connections = 65'536;         ///< 0 = refuse everybody
  size_t max_subscriptions = 0;            ///< of one connection; 0 = without limit
  size_t max_subject_tokens = 0;           ///< of a subscription's subject; 0 = without limit
  size_t max_compressed = 64;              ///< compressed connections, of other Sluices; 0 = not offered
  size_t max_closed_connections = 10'000;  ///< remembered for the monitor

  std::chrono::nanoseconds ping_interval = std::chrono::minutes(2);
  uint32_t ping_max = 2;  ///< unanswered PINGs before a connection is stale
  std::chrono::nanoseconds auth_timeout = std::chrono::seconds(2);
  std::chrono::nanoseconds write_deadline = std::chrono::seconds(10);
  /// Longest time for which a publisher is not read because a subscriber of its is congested; half
  /// a ping interval at most, whatever stands here.
  std::chrono::nanoseconds max_read_pause = std::chrono::seconds(5);

  TlsListenerOptions tls = {};  ///< of the client port; off without certificates
  bool allow_non_tls = false;   ///< with TLS: clients may stay in clear

  WebSocketOptions websocket = {};

  bool headers = true;  ///< false: clients may neither send nor get headers
  /// A message for a congested subscriber is dropped and counted, its publisher is not held back.
  bool no_fast_producer_stall = false;
  std::vector<std::string> tags = {};                ///< told by the monitor and $SYS
  std::map<std::string, std::string> metadata = {};  ///< the same
  /// "host" or "host:port" that INFO tells instead of the listener's; empty = the listener's.
  std::string client_advertise = {};

  bool jetstream = false;   ///< what INFO says of JetStream
  bool global_jetstream = true;  ///< "$G" has it as well, when the server has
  std::string domain = {};  ///< JetStream domain; empty = none
  bool lenient_requests = false;  ///< unknown fields of JetStream requests are ignored, not refused
};

/// What INFO says of the address: client_advertise as host and port (0 = the listener's), or the
/// listener's host and 0.
std::pair<std::string, uint16_t> split_advertised(const ServerOptions& options);
/// What contradicts itself (kInvalidArgument) or can't be done yet (kUnsupported).
Status check_options(const ServerOptions& options);

}  // namespace sluice
