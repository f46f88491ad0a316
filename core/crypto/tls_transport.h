// A transport that can change to TLS in the middle of a stream, as NATS does after INFO.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "io/transport.h"

namespace sluice {

/// Certificates and rules of a client's TLS: 1.2 and newer, the server's name and chain verified
/// unless told otherwise. Shared by all connections of a link.
class TlsClientContext {
 public:
  virtual ~TlsClientContext() = default;
};

/// PEM files; empty = none (without authorities: the system's).
struct TlsClientOptions {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;  ///< empty = in cert_file
  bool insecure = false; ///< do not verify the server's certificate
};

/// kInvalidArgument with the file's name when a certificate or key can't be used. Without a CA file
/// the system's authorities are trusted.
Result<std::shared_ptr<TlsClientContext>> make_tls_client_context(const TlsClientOptions& options);

/// Passes bytes through until begin_tls(); from then on they are the inside of a TLS stream.
class UpgradableTransport : public Transport {
 public:
  /// The handshake starts at once; what is written meanwhile is sent after it. A failed handshake
  /// is told by on_closed. `server_name` is a host name or an address. At most once.
  virtual void begin_tls(std::shared_ptr<TlsClientContext> context,
                         const std::string& server_name) = 0;
};

std::unique_ptr<UpgradableTransport> make_upgradable(std::unique_ptr<Transport> plain);

}  // namespace sluice
