// What stands behind tls_context.h; for tls_context.cc and tls_transport.cc only.
#pragma once

#include <openssl/ssl.h>

#include <string>
#include <vector>

#include "base/check.h"
#include "crypto/tls_context.h"

namespace sluice {

/// "" is never returned: the oldest error of OpenSSL's queue in words; the queue is empty afterwards.
std::string take_tls_error();

class SslContext {
 public:
  explicit SslContext(const SSL_METHOD* method) : ctx_(SSL_CTX_new(method)) {
    SLUICE_CHECK(ctx_ != nullptr);
  }
  ~SslContext() { SSL_CTX_free(ctx_); }
  SslContext(const SslContext&) = delete;
  SslContext& operator=(const SslContext&) = delete;
  SSL_CTX* get() const { return ctx_; }
  /// Where a session puts its records for the moment until the transport has them: empty between
  /// two calls, so all sessions of a loop share it and idle ones hold no buffer.
  std::string& records() const { return records_; }

 private:
  SSL_CTX* ctx_;
  mutable std::string records_;
};

class SslClientContext final : public TlsClientContext {
 public:
  SSL_CTX* get() const { return ctx_.get(); }
  const SslContext& ssl() const { return ctx_; }

 private:
  SslContext ctx_{TLS_client_method()};
};

class SslServerContext final : public TlsServerContext {
 public:
  SSL_CTX* get() const { return ctx_.get(); }
  const SslContext& ssl() const { return ctx_; }
  WallNanos not_after() const override { return not_after_; }
  void set_not_after(WallNanos at) { not_after_ = at; }
  const std::vector<std::string>& pinned_certs() const { return pinned_certs_; }
  void pin(std::vector<std::string> digests) { pinned_certs_ = std::move(digests); }

 private:
  SslContext ctx_{TLS_server_method()};
  WallNanos not_after_ = 0;
  std::vector<std::string> pinned_certs_;
};

}  // namespace sluice
