// The HTTP exchange with which a WebSocket session begins (RFC 6455, section 4). Pure.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "websocket/ws_options.h"

namespace sluice {

/// "https://example.org:8443" in parts; the port is the scheme's when none is named.
struct WsOrigin {
  std::string scheme;  ///< lower case, as is the host
  std::string host;
  uint16_t port = 0;
  friend bool operator==(const WsOrigin&, const WsOrigin&) = default;
};
std::optional<WsOrigin> parse_origin(std::string_view text);

/// Credentials that came as cookies; empty = none.
struct WsCookies {
  std::string jwt;
  std::string user;
  std::string pass;
  std::string token;
};

/// What a client's request asks for, as far as it is granted.
struct WsUpgrade {
  std::string accept_key;  ///< the answer to Sec-WebSocket-Key
  std::string path;
  bool deflate = false;
  bool no_masking = false;
  /// Largest frame that the client's browser likes; 0 = any.
  size_t max_frame_bytes = 0;
  /// It cannot put a compressed message of several frames together (Safari).
  bool whole_compressed = false;
  std::string forwarded_for;  ///< the first address of X-Forwarded-For
  WsCookies cookies;
};

struct WsRefusal {
  uint16_t status;
  std::string_view why;  ///< a literal, for the log
};

/// @param tls  the stream is encrypted: the scheme that `same_origin` expects.
std::expected<WsUpgrade, WsRefusal> check_upgrade(const HttpRequest& request,
                                                  const WebSocketOptions& options, bool tls);

/// "HTTP/1.1 101 …" up to the blank line.
std::string upgrade_response(const WsUpgrade& upgrade, const WebSocketOptions& options);
std::string refusal_response(const WsRefusal& refusal);

/// base64(SHA-1(key + the GUID of RFC 6455)).
std::string accept_key_of(std::string_view key);

}  // namespace sluice
