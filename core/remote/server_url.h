#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

/// "nats://user:password@host:port"; scheme nats or tls, nats when missing; port 4222 when missing.
/// "srv://name" and "srv+tls://name" stand for the servers that DNS names; they have no port.
struct ServerUrl {
  bool srv = false;  ///< `host` is looked up (srv_lookup.h)
  std::string host;  ///< without the brackets of an IPv6 address
  uint16_t port = 4222;
  std::string user;  ///< with an empty password: a token
  std::string password;
  bool has_password = false;
  bool tls = false;
  std::string
      tls_name;  ///< whose certificate to expect: host, or that of the server who told of it

  /// Without secrets.
  std::string text() const;
};

/// kInvalidArgument with the place in words, never with the secret.
Result<ServerUrl> parse_server_url(std::string_view text);

}  // namespace sluice
