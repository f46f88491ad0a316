// The first words between leaf nodes: INFO of the hub, CONNECT of the spoke. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "server/account_options.h"

namespace sluice {

/// From this protocol on a server knows what to do with traced messages; what we speak.
inline constexpr int64_t kTracingLeafProtocol = 3;

/// What a hub says. Of other kinds of listeners `leaf` is false.
struct LeafInfo {
  std::string server_id = {};
  std::string server_name = {};
  std::string version = {};
  std::string host = {};
  uint16_t port = 0;
  std::string domain = {};
  std::string cluster = {};
  std::string nonce = {};
  std::string remote_account = {};
  uint64_t client_id = 0;
  uint64_t max_payload = 0;
  int64_t protocol = 0;
  bool auth_required = false;
  bool tls_required = false;
  bool tls_verify = false;
  bool jetstream = false;
  bool leaf = false;             ///< it names leafnode_urls
  bool info_on_connect = false;  ///< an INFO will answer CONNECT
  bool connect_info = false;     ///< this is that INFO
  /// What the hub lets us publish (`import`) and subscribe to (`export`).
  PermissionOptions permissions = {};
  bool restricted = false;  ///< permissions say something
};

/// kCorrupt when it is no JSON object. Fields of other types count as missing.
Result<LeafInfo> parse_leaf_info(std::string_view json);
/// "INFO {…} \r\n"
std::string make_leaf_info(const LeafInfo& info);

struct LeafConnect {
  std::string version = {};
  std::string server_id = {};
  std::string name = {};
  std::string cluster = {};
  std::string domain = {};
  std::string lang = {};  ///< only clients send it: a wrong port
  std::string user = {};
  std::string pass = {};
  std::string auth_token = {};
  std::string nkey = {};
  std::string sig = {};
  std::string jwt = {};
  std::string remote_account = {};
  int64_t protocol = 0;
  bool jetstream = false;
  bool headers = false;
  bool is_hub = false;  ///< the dialling side wants to be the hub
  std::string compression = {};
};

Result<LeafConnect> parse_leaf_connect(std::string_view json);
/// "CONNECT {…}\r\n"
std::string make_leaf_connect(const LeafConnect& connect);

}  // namespace sluice
