// Where a hub is: "nats-leaf://[user[:password]@]host[:port]", also with nats:// or tls://.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

struct LeafUrl {
  std::string host;  ///< without the brackets of an IPv6 address
  uint16_t port = 7422;
  std::string user;      ///< without a password: a token
  std::string password;
  bool tls = false;
};

/// kInvalidArgument, never with the secret; kUnsupported for ws:// and wss://.
Result<LeafUrl> parse_leaf_url(std::string_view text);

}  // namespace sluice
