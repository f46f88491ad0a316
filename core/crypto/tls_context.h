// Certificates and rules of one side of TLS. Made once, shared by all its sessions; a session keeps
// the context with which it began, so new certificates can be taken in without cutting anybody.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

/// PEM files; empty = none (without authorities: the system's).
struct TlsClientOptions {
  std::string ca_file = {};
  std::string cert_file = {};
  std::string key_file = {};  ///< empty = in cert_file
  bool insecure = false;      ///< do not verify the server's certificate
};

struct TlsKeyPair {
  std::string cert_file = {};
  std::string key_file = {};
};

enum class TlsVersion : uint8_t { k12, k13 };

/// The keys of nats-server's `tls` block that a server's side needs.
struct TlsServerOptions {
  std::vector<TlsKeyPair> certificates = {};  ///< at least one; of different key types when several
  std::string ca_file = {};                   ///< empty = the system's authorities
  bool verify = false;                        ///< clients must show a certificate of `ca_file`
  bool verify_and_map = false;                ///< and are the user whom it names; implies verify
  /// SHA-256 of the public key (SPKI) of the clients let in, lower-case hex; empty = any.
  std::vector<std::string> pinned_certs = {};
  TlsVersion min_version = TlsVersion::k12;
  std::vector<std::string> cipher_suites = {};      ///< IANA names; empty = AEAD suites
  bool allow_insecure_cipher_suites = false;        ///< also RSA key exchange, 3DES, CBC with SHA-256
  std::vector<std::string> curve_preferences = {};  ///< CurveP256, CurveP384, CurveP521, X25519
  /// Refuse key files that everybody on the machine can read.
  bool private_keys_only = false;

  bool enabled() const { return !certificates.empty(); }
};

/// Opaque: OpenSSL's own type is known in tls_context_openssl.h alone.
class TlsContext {
 public:
  virtual ~TlsContext() = default;
};

class TlsClientContext : public TlsContext {};

class TlsServerContext : public TlsContext {
 public:
  /// When the first of its certificates is no longer valid.
  virtual WallNanos not_after() const = 0;
};

/// kInvalidArgument with the file's name when a certificate or key can't be used. Without a CA file
/// the system's authorities are trusted.
Result<std::shared_ptr<TlsClientContext>> make_tls_client_context(const TlsClientOptions& options);

/// As above; also for unknown or insecure suites and unknown curves, and kDenied for a key file that
/// is not private.
Result<std::shared_ptr<TlsServerContext>> make_tls_server_context(const TlsServerOptions& options);

}  // namespace sluice
