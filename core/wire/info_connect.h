// The two JSON lines of a session's start: the server's INFO and the client's CONNECT.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace sluice {

/// What a client asked for. The defaults are those of a missing key, and of a session that never
/// sends CONNECT.
struct ConnectOptions {
  bool verbose = true;
  bool pedantic = true;
  bool echo = true;
  bool headers = false;
  bool no_responders = false;
  int64_t protocol = 0;  ///< the server accepts 0 and 1
  std::string name;
  std::string lang;
  std::string version;
  std::string user;
  std::string pass;
  std::string auth_token;
  std::string nkey;
  std::string sig;
  std::string jwt;
  std::string account;  ///< not empty = refused, as is new_account
  bool new_account = false;
};

/// Keys are compared without case, unknown keys and nulls are passed over, the last of equal keys
/// wins. `null` is an empty object. kCorrupt when the text is no JSON object or a known key has a
/// value of another type (the server then closes without a word).
Result<ConnectOptions> parse_connect(std::string_view json);

/// Fields in the order in which they are sent; empty, false and 0 ones marked `?` are left out.
struct InfoOptions {
  std::string server_id;
  std::string server_name;
  std::string version;
  int proto = 1;
  std::string git_commit;  ///< ?
  std::string go;
  std::string host;
  uint16_t port = 0;
  bool headers = true;
  bool auth_required = false;  ///< ?
  bool tls_required = false;   ///< ?
  bool tls_verify = false;     ///< ?
  bool tls_available = false;  ///< ?
  int64_t max_payload = 0;
  bool jetstream = false;                 ///< ?
  uint64_t client_id = 0;                 ///< ?
  std::string client_ip;                  ///< ?
  std::string nonce;                      ///< ?
  std::string cluster;                    ///< ?
  std::string domain;                     ///< ?
  std::vector<std::string> connect_urls;  ///< ?
  bool ldm = false;                       ///< ?
  bool connect_info = false;              ///< ? the second INFO of a session
  std::string remote_account;             ///< ?
  bool acc_is_sys = false;                ///< ?
  int api_lvl = 0;                        ///< ?
  std::string xkey;                       ///< ?
  std::string sluice_version;             ///< ? not a field of nats-server's, nor the next
  bool sluice_zstd = false;               ///< ? compression/compressed_transport.h
  bool sluice_zstd_dictionaries = false;  ///< ? the same
};

/// "INFO {…} \r\n", the blank before the line end included: nats-server sends it.
std::string make_info_line(const InfoOptions& options);

}  // namespace sluice
