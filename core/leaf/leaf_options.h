// What an operator may set of leaf nodes. Plain data; config fills it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "crypto/tls_acceptor.h"

namespace sluice {

/// A hub to which this server connects. Names are those of nats-server's `leafnodes.remotes`.
struct LeafRemoteOptions {
  std::vector<std::string> urls = {};  ///< "nats-leaf://[user[:password]@]host[:7422]", "tls://…"
  std::string account = {};            ///< the one linked here; empty = $G
  std::string user_seed = {};          ///< "SU…": signs the hub's nonce
  std::string credentials_file = {};   ///< JWT and seed, read anew at each connect
  bool tls = false;                    ///< demand it, whatever the hub offers
  bool tls_first = false;              ///< the handshake comes before the hub's INFO
  TlsClientOptions tls_options = {};
  std::vector<std::string> deny_imports = {};  ///< subjects not taken from the hub
  std::vector<std::string> deny_exports = {};  ///< subjects not sent to it
  std::chrono::nanoseconds first_info_timeout = std::chrono::seconds(1);
  bool no_randomize = false;  ///< try the URLs in the order written
};

/// A user that only spokes log in as.
struct LeafUserOptions {
  std::string user = {};
  std::string password = {};  ///< plain or bcrypt
  std::string account = {};   ///< that the spoke is linked with; empty = $G
};

struct LeafOptions {
  bool listen = false;
  std::string host = "0.0.0.0";
  uint16_t port = 7422;  ///< 0 = any free port
  TlsListenerOptions tls = {};
  /// Of this block alone; without it leaf nodes log in as clients do.
  std::string user = {};
  std::string password = {};
  std::string account = {};  ///< of that user; empty = $G
  std::vector<LeafUserOptions> users = {};  ///< instead of the one
  std::chrono::nanoseconds auth_timeout = std::chrono::seconds(2);
  std::vector<LeafRemoteOptions> remotes = {};
  std::chrono::nanoseconds reconnect = std::chrono::seconds(1);
  size_t max_connections = 1024;  ///< of leaf nodes; more are closed as they come

  bool enabled() const { return listen || !remotes.empty(); }
};

}  // namespace sluice
