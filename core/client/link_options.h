// How to reach a NATS system. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

/// Of the bytes between us and a far Sluice, both ways. Other servers do not offer it.
enum class LinkCompression : uint8_t {
  kAuto,  ///< when it is offered, 10 ms or more after dialling, and worth it (compression_worth.h)
  kZstd,  ///< a server that does not offer it is refused
  kNone,
};

/// Empty `urls` = the embedded core, through the bus.
struct LinkOptions {
  std::vector<std::string> urls;  ///< "nats://host:port", "tls://host:port", or "srv://name", "srv+tls://name": by DNS
  std::string name;               ///< shown by the server as the connection's name
  std::string user;
  std::string password;
  std::string token;
  std::string credentials_file;   ///< JWT and seed, as `nsc` writes them
  std::string jwt_file;           ///< the same in two files, bare or as in the one
  std::string nkey_seed_file;
  std::string choria_token_file;  ///< a Choria broker's login: JWT, and the seed (64 hexadecimal digits) of its key
  std::string choria_seed_file;
  std::string choria_collective;  ///< with such a login: replies come under `<this>.reply.<MD5 of the token's owner>`, in place of `inbox_prefix`
  std::string inbox_prefix = "_INBOX";  ///< replies come under it
  std::string dns_server;         ///< "address:port" (IPv4) to ask about "srv://"; empty = the system's
  std::string tls_ca_file;
  std::string tls_cert_file;
  std::string tls_key_file;
  bool tls_insecure = false;      ///< do not verify the server's certificate
  bool tls_first = false;         ///< the handshake comes before the server's INFO
  LinkCompression compression = LinkCompression::kAuto;
  std::string dictionary_folder;  ///< what compressed connections carried, for the next one; empty = kept in memory
  /// From dialling until the server has accepted us: four round trips with TLS, so that 3 s each are well within it.
  std::chrono::milliseconds connect_timeout{20'000};
  size_t max_pending_messages = 16384;  ///< taken from the network, not yet handed to the loop

  bool embedded() const { return urls.empty(); }
};

}  // namespace sluice
