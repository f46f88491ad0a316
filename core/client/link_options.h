// How to reach a NATS system. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace sluice {

/// Empty `urls` = the embedded core, through the bus.
struct LinkOptions {
  std::vector<std::string> urls;  ///< "nats://host:port", "tls://host:port", or "srv://name", "srv+tls://name": by DNS
  std::string name;               ///< shown by the server as the connection's name
  std::string user;
  std::string password;
  std::string token;
  std::string credentials_file;   ///< JWT and seed, as `nsc` writes them
  std::string choria_token_file;  ///< a Choria broker's login: JWT, and the seed (64 hexadecimal digits) of its key
  std::string choria_seed_file;
  std::string inbox_prefix = "_INBOX";  ///< replies come under it
  std::string dns_server;         ///< "address:port" (IPv4) to ask about "srv://"; empty = the system's
  std::string tls_ca_file;
  std::string tls_cert_file;
  std::string tls_key_file;
  bool tls_insecure = false;      ///< do not verify the server's certificate
  std::chrono::milliseconds connect_timeout{2000};
  size_t max_pending_messages = 16384;  ///< taken from the network, not yet handed to the loop

  bool embedded() const { return urls.empty(); }
};

}  // namespace sluice
