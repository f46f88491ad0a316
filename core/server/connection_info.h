// A connection as the monitor shows it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time_format.h"
#include "server/authenticator.h"
#include "server/close_reason.h"

namespace sluice {

/// A client's subscription as the monitor shows it.
struct SubscriptionInfo {
  std::string account;
  std::string subject;
  std::string queue;  ///< "" = none
  std::string sid;
  uint64_t delivered = 0;
  uint64_t max = 0;  ///< 0 = without limit
  uint64_t cid = 0;
};

struct ConnectionInfo {
  uint64_t cid = 0;
  std::string ip;
  uint16_t port = 0;
  ConnectionKind kind = ConnectionKind::kStandard;
  std::string user;  ///< who authenticated; "" = nobody had to
  std::string account = {};
  std::string issuer_key = {};  ///< of a JWT user, as the next two
  std::string name_tag = {};
  std::vector<std::string> tags = {};
  std::string name;
  std::string lang;
  std::string version;
  WallNanos start = 0;
  WallNanos last_activity = 0;
  std::chrono::nanoseconds uptime{0};
  std::chrono::nanoseconds idle{0};
  std::chrono::nanoseconds rtt{0};  ///< 0 = not measured yet
  uint64_t in_msgs = 0;
  uint64_t in_bytes = 0;
  uint64_t out_msgs = 0;
  uint64_t out_bytes = 0;
  size_t pending_bytes = 0;
  size_t subscriptions = 0;
  bool websocket = false;
  std::string tls_version = {};       ///< "1.2", "1.3"; empty = in clear
  std::string tls_cipher_suite = {};
  /// Of a closed one.
  std::optional<CloseReason> reason;
  WallNanos stop = 0;
};

}  // namespace sluice
