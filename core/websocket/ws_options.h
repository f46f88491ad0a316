// What an operator may set of the WebSocket listener. Plain data; config fills it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "crypto/tls_acceptor.h"

namespace sluice {

/// Defaults and names are those of nats-server's `websocket` block.
struct WebSocketOptions {
  bool enabled = false;
  std::string host = "0.0.0.0";
  uint16_t port = 0;    ///< 0 = any free port
  bool no_tls = false;  ///< speak ws:// in clear; otherwise `tls` is needed
  TlsListenerOptions tls = {};
  bool same_origin = false;  ///< a page's origin must be the host it connects to
  std::vector<std::string> allowed_origins = {};  ///< "https://host[:port]"; empty = any
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(2);
  bool compression = false;  ///< permessage-deflate, when the client offers it
  std::chrono::nanoseconds ping_interval{0};  ///< 0 = the server's
  /// Names of the cookies that stand for what CONNECT leaves out; empty = none.
  std::string jwt_cookie = {};
  std::string user_cookie = {};
  std::string pass_cookie = {};
  std::string token_cookie = {};
  /// Fields added to the answer of the handshake.
  std::vector<std::pair<std::string, std::string>> headers = {};
  /// Handshakes under way at one time; more are closed as they come.
  size_t max_handshakes = 4096;
};

/// kInvalidArgument in nats-server's words.
Status check_websocket_options(const WebSocketOptions& options);

}  // namespace sluice
