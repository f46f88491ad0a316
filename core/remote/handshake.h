// The first words with a server: what its INFO says, and the CONNECT that answers it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "client/link_options.h"
#include "crypto/tls_transport.h"
#include "io/disk.h"
#include "remote/server_url.h"

namespace sluice {

struct ServerInfo {
  uint64_t max_payload = 1024 * 1024;
  bool tls_required = false;
  bool tls_available = false;
  bool lame_duck = false;
  bool sluice_zstd = false;  ///< it is a Sluice that offers compression
  bool sluice_zstd_dictionaries = false;  ///< with what went over earlier connections
  std::string nonce;
  std::string server_name;
  std::vector<std::string> connect_urls;  ///< "host:port"
};

/// kCorrupt when it is no JSON object. Fields of other types count as missing.
Result<ServerInfo> parse_server_info(std::string_view json);

/// The TLS part of a link's options.
inline TlsClientOptions tls_options(const LinkOptions& options) {
  return {options.tls_ca_file, options.tls_cert_file, options.tls_key_file, options.tls_insecure};
}

/// A JWT and the seed that signs for it, as in the files that `nsc` writes.
struct Credentials {
  std::string jwt;
  std::string seed;
};
Result<Credentials> parse_credentials(std::string_view text);

/// A Choria token's file: one line.
Result<std::string> read_choria_token(Disk& disk, const std::string& path);
/// Whose it says it is (a node's identity, a person's caller id), nothing proven; empty when it can't be read.
std::string choria_token_owner(std::string_view token);
/// What a broker that takes such tokens lets through to `owner`: `<collective>.reply.<MD5 of the owner>`.
std::string choria_inbox_prefix(std::string_view collective, std::string_view owner);

/// "CONNECT {…}\r\n". Reads the credentials file anew, so that a replaced one is used at the next
/// reconnect. kIo or kInvalidArgument when that file is no good.
Result<std::string> make_connect_line(Disk& disk, const LinkOptions& options, const ServerUrl& url,
                                      const ServerInfo& info, bool tls);

}  // namespace sluice
