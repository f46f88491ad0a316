// How to reach a NATS system. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace sluice {

/// Empty `urls` = the embedded core, through the bus.
struct LinkOptions {
  std::vector<std::string> urls;  ///< "nats://host:port" or "tls://host:port"
  std::string name;               ///< shown by the server as the connection's name
  std::string user;
  std::string password;
  std::string token;
  std::string credentials_file;   ///< JWT and seed, as `nsc` writes them
  std::string tls_ca_file;
  std::string tls_cert_file;
  std::string tls_key_file;
  bool tls_insecure = false;      ///< do not verify the server's certificate
  std::chrono::milliseconds connect_timeout{2000};
  size_t max_pending_messages = 16384;  ///< taken from the network, not yet handed to the loop

  bool embedded() const { return urls.empty(); }
};

}  // namespace sluice
