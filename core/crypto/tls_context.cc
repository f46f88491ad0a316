#include "crypto/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "crypto/tls_context_openssl.h"

namespace sluice {

std::string take_tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown TLS error";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "TLS error " + std::to_string(code);
}

namespace {

/// Forward secret and AEAD first; the CBC suites that remain are those older clients still ask for.
constexpr const char* kDefaultSuites =
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!SHA256:!SHA384:!PSK";

std::unexpected<Error> bad_file(const std::string& file) {
  return fail(Errc::kInvalidArgument, file + ": " + take_tls_error());
}

Status load_pair(SSL_CTX* ctx, const std::string& cert_file, const std::string& key_file) {
  const std::string& key = key_file.empty() ? cert_file : key_file;
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(ctx, cert_file.c_str()) != 1) return bad_file(cert_file);
  if (SSL_CTX_use_PrivateKey_file(ctx, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(ctx) != 1) {
    return bad_file(key);
  }
  return {};
}

Status load_authorities(SSL_CTX* ctx, const std::string& ca_file) {
  ERR_clear_error();
  if (ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(ctx);
  } else if (SSL_CTX_load_verify_file(ctx, ca_file.c_str()) != 1) {
    return bad_file(ca_file);
  }
  return {};
}

Status check_private(const std::string& key_file) {
  std::error_code error;
  const auto permissions = std::filesystem::status(key_file, error).permissions();
  if (error) return fail(Errc::kInvalidArgument, key_file + ": " + error.message());
  if ((permissions & std::filesystem::perms::others_read) == std::filesystem::perms::none) return {};
  return fail(Errc::kDenied,
              key_file + ": this private key is readable by everybody on the machine (chmod o-r)");
}

/// Without forward secrecy, or with a cipher that nobody should use any more.
bool is_insecure_suite(std::string_view name) {
  return name.starts_with("TLS_RSA_") || name.find("_RC4_") != name.npos ||
         name.find("_3DES_") != name.npos || name.find("_CBC_SHA256") != name.npos;
}

/// IANA name → OpenSSL's; "" when it is not known.
std::string openssl_suite_name(const std::string& iana) {
  // Every suite that this OpenSSL has, also those that are off by default.
  SslContext all(TLS_method());
  SSL_CTX_set_cipher_list(all.get(), "ALL:COMPLEMENTOFALL:@SECLEVEL=0");
  const STACK_OF(SSL_CIPHER)* suites = SSL_CTX_get_ciphers(all.get());
  for (int i = 0; i < sk_SSL_CIPHER_num(suites); ++i) {
    const SSL_CIPHER* suite = sk_SSL_CIPHER_value(suites, i);
    const char* standard = SSL_CIPHER_standard_name(suite);
    if (standard != nullptr && iana == standard) return SSL_CIPHER_get_name(suite);
  }
  return {};
}

Status set_suites(SSL_CTX* ctx, const TlsServerOptions& options) {
  if (options.cipher_suites.empty()) {
    SLUICE_CHECK(SSL_CTX_set_cipher_list(ctx, kDefaultSuites) == 1);
    return {};
  }
  std::string older;
  std::string tls13;
  for (std::string name : options.cipher_suites) {
    // Go's short names of these two leave the hash out.
    if (name.ends_with("_CHACHA20_POLY1305")) name += "_SHA256";
    const std::string known = openssl_suite_name(name);
    if (known.empty()) return fail(Errc::kInvalidArgument, "unrecognized cipher " + name);
    if (is_insecure_suite(name) && !options.allow_insecure_cipher_suites) {
      return fail(Errc::kInvalidArgument,
                  "insecure cipher suites configured without 'allow_insecure_cipher_suites' option "
                  "set: " + name);
    }
    std::string& list = known.starts_with("TLS_") ? tls13 : older;
    list += (list.empty() ? "" : ":") + known;
  }
  // Suites of TLS 1.3 are all fine and stay as they are unless some are named.
  if (!tls13.empty() && SSL_CTX_set_ciphersuites(ctx, tls13.c_str()) != 1)
    return fail(Errc::kInvalidArgument, "cipher_suites: " + take_tls_error());
  if (older.empty()) {
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  } else if (SSL_CTX_set_cipher_list(ctx, older.c_str()) != 1) {
    return fail(Errc::kInvalidArgument, "cipher_suites: " + take_tls_error());
  }
  return {};
}

Status set_curves(SSL_CTX* ctx, const std::vector<std::string>& names) {
  struct Curve {
    std::string_view name;
    std::string_view group;
  };
  static constexpr std::array kCurves{Curve{"CurveP256", "P-256"}, Curve{"CurveP384", "P-384"},
                                      Curve{"CurveP521", "P-521"}, Curve{"X25519", "X25519"}};
  std::string list;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(kCurves, name, &Curve::name);
    if (found == kCurves.end())
      return fail(Errc::kInvalidArgument, "unrecognized curve preference " + name);
    list += (list.empty() ? "" : ":") + std::string(found->group);
  }
  if (!list.empty() && SSL_CTX_set1_groups_list(ctx, list.c_str()) != 1)
    return fail(Errc::kInvalidArgument, "curve_preferences: " + take_tls_error());
  return {};
}

WallNanos end_of(const X509* certificate) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return 0;
  return static_cast<WallNanos>(timegm(&parts)) * 1'000'000'000;
}

/// Chrome and others offer "http/1.1" for wss:// and want it picked.
int pick_http(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
              unsigned in_size, void*) {
  static constexpr std::string_view kHttp = "\x08http/1.1";
  unsigned char* picked = nullptr;
  const int found = SSL_select_next_proto(&picked, out_size,
                                          reinterpret_cast<const unsigned char*>(kHttp.data()),
                                          kHttp.size(), in, in_size);
  *out = picked;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

Status load_certificates(SslServerContext& context, const TlsServerOptions& options) {
  SSL_CTX* ctx = context.get();
  for (const TlsKeyPair& pair : options.certificates) {
    const std::string& key = pair.key_file.empty() ? pair.cert_file : pair.key_file;
    if (options.private_keys_only) {
      if (Status fine = check_private(key); !fine) return fine;
    }
    if (Status loaded = load_pair(ctx, pair.cert_file, pair.key_file); !loaded) return loaded;
    const WallNanos end = end_of(SSL_CTX_get0_certificate(ctx));
    if (context.not_after() == 0 || end < context.not_after()) context.set_not_after(end);
  }
  return {};
}

Status ask_clients(SSL_CTX* ctx, const TlsServerOptions& options) {
  if (Status loaded = load_authorities(ctx, options.ca_file); !loaded) return loaded;
  if (!options.ca_file.empty())
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(options.ca_file.c_str()));
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return {};
}

void set_common(SSL_CTX* ctx) {
  // An idle session keeps no record buffers.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}

}  // namespace

Result<std::shared_ptr<TlsClientContext>> make_tls_client_context(const TlsClientOptions& options) {
  auto context = std::make_shared<SslClientContext>();
  SSL_CTX* ctx = context->get();
  set_common(ctx);
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_verify(ctx, options.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (Status loaded = load_authorities(ctx, options.ca_file); !loaded)
    return std::unexpected(loaded.error());
  if (!options.cert_file.empty()) {
    if (Status loaded = load_pair(ctx, options.cert_file, options.key_file); !loaded)
      return std::unexpected(loaded.error());
  }
  return context;
}

Result<std::shared_ptr<TlsServerContext>> make_tls_server_context(const TlsServerOptions& options) {
  if (!options.enabled())
    return fail(Errc::kInvalidArgument, "TLS needs a certificate: cert_file and key_file");
  auto context = std::make_shared<SslServerContext>();
  SSL_CTX* ctx = context->get();
  set_common(ctx);
  SSL_CTX_set_min_proto_version(
      ctx, options.min_version == TlsVersion::k13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  // No resumption: every session shows its certificate and meets the rules of today.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_alpn_select_cb(ctx, &pick_http, nullptr);
  Status done = load_certificates(*context, options);
  if (done) done = set_suites(ctx, options);
  if (done) done = set_curves(ctx, options.curve_preferences);
  if (done && (options.verify || options.verify_and_map)) done = ask_clients(ctx, options);
  if (!done) return std::unexpected(done.error());
  context->pin(options.pinned_certs);
  return context;
}

}  // namespace sluice
