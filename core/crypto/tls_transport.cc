#include "crypto/tls_transport.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr size_t kReadChunk_bytes = 16 * 1024;
constexpr size_t kPadding_bytes = 64;  // promised by TransportHandler::on_bytes

std::string last_tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown TLS error";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "TLS error " + std::to_string(code);
}

class OpenSslContext final : public TlsClientContext {
 public:
  OpenSslContext() : ctx_(SSL_CTX_new(TLS_client_method())) { SLUICE_CHECK(ctx_ != nullptr); }
  ~OpenSslContext() override { SSL_CTX_free(ctx_); }
  OpenSslContext(const OpenSslContext&) = delete;
  OpenSslContext& operator=(const OpenSslContext&) = delete;
  SSL_CTX* get() const { return ctx_; }

 private:
  SSL_CTX* ctx_;
};

class TlsTransport final : public UpgradableTransport, private TransportHandler {
 public:
  explicit TlsTransport(std::unique_ptr<Transport> plain) : plain_(std::move(plain)) {}
  ~TlsTransport() override { SSL_free(ssl_); }
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  void begin_tls(std::shared_ptr<TlsClientContext> context,
                 const std::string& server_name) override {
    SLUICE_CHECK(ssl_ == nullptr);
    context_ = std::move(context);
    ssl_ = SSL_new(static_cast<OpenSslContext&>(*context_).get());
    SLUICE_CHECK(ssl_ != nullptr);
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
    std::array<unsigned char, 16> address{};
    const bool is_address = inet_pton(AF_INET, server_name.c_str(), address.data()) == 1 ||
                            inet_pton(AF_INET6, server_name.c_str(), address.data()) == 1;
    if (is_address) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), server_name.c_str());
    } else {
      SSL_set_tlsext_host_name(ssl_, server_name.c_str());
      SSL_set1_host(ssl_, server_name.c_str());
    }
    SSL_do_handshake(ssl_);
    send_records();
  }

  // Transport
  void start(TransportHandler& handler) override {
    handler_ = &handler;
    plain_->start(*this);
  }
  void write(std::string& bytes) override {
    if (ssl_ == nullptr) return plain_->write(bytes);
    waiting_ += bytes;
    bytes.clear();
    encrypt_waiting();
  }
  size_t queued_bytes() const override { return waiting_.size() + plain_->queued_bytes(); }
  void pause_reading() override { plain_->pause_reading(); }
  void resume_reading() override { plain_->resume_reading(); }
  void close(bool flush) override {
    closed_ = true;
    if (ssl_ != nullptr && SSL_is_init_finished(ssl_) == 1) {
      SSL_shutdown(ssl_);
      send_records();
    }
    plain_->close(flush);
  }
  std::string peer_address() const override { return plain_->peer_address(); }

 private:
  // TransportHandler
  void on_bytes(std::string_view bytes) override {
    if (ssl_ == nullptr) return handler_->on_bytes(bytes);
    BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size()));
    if (SSL_is_init_finished(ssl_) == 0) {
      ERR_clear_error();
      const int done = SSL_do_handshake(ssl_);
      send_records();  // an alert, too
      if (done != 1) {
        if (SSL_get_error(ssl_, done) != SSL_ERROR_WANT_READ) fail_stream();
        return;
      }
      encrypt_waiting();
    }
    decrypt();
  }
  void on_drained() override { handler_->on_drained(); }
  void on_closed(const Error& why) override { handler_->on_closed(why); }

  void decrypt() {
    const std::weak_ptr<char> alive = alive_;
    while (!closed_) {
      std::array<char, kReadChunk_bytes + kPadding_bytes> chunk;
      ERR_clear_error();
      const int got = SSL_read(ssl_, chunk.data(), kReadChunk_bytes);
      if (got > 0) {
        handler_->on_bytes({chunk.data(), static_cast<size_t>(got)});
        if (alive.expired()) return;
        continue;
      }
      send_records();  // answers to key updates
      const int error = SSL_get_error(ssl_, got);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
      if (error == SSL_ERROR_ZERO_RETURN) {
        closed_ = true;
        handler_->on_closed({Errc::kClosed, 0, "closed by the peer"});
        return;
      }
      return fail_stream();
    }
  }

  void fail_stream() {
    if (std::exchange(closed_, true)) return;
    const long verified = SSL_get_verify_result(ssl_);
    std::string why =
        verified != X509_V_OK ? X509_verify_cert_error_string(verified) : last_tls_error();
    plain_->close(true);
    handler_->on_closed({Errc::kDenied, 0, "TLS: " + why});
  }

  void encrypt_waiting() {
    if (waiting_.empty() || closed_ || SSL_is_init_finished(ssl_) == 0) return;
    ERR_clear_error();
    // A memory BIO takes everything, so a write is whole or an error that reading will tell, too.
    SSL_write(ssl_, waiting_.data(), static_cast<int>(waiting_.size()));
    waiting_.clear();
    send_records();
  }

  void send_records() {
    char* records = nullptr;
    BIO* out = SSL_get_wbio(ssl_);
    const long size = BIO_get_mem_data(out, &records);
    if (size <= 0) return;
    std::string bytes(records, static_cast<size_t>(size));
    (void)BIO_reset(out);
    plain_->write(bytes);
  }

  std::unique_ptr<Transport> plain_;
  TransportHandler* handler_ = nullptr;
  std::shared_ptr<TlsClientContext> context_;
  SSL* ssl_ = nullptr;
  std::string waiting_;  ///< plain text written before the handshake was done
  bool closed_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

Result<std::shared_ptr<TlsClientContext>> make_tls_client_context(const TlsClientOptions& options) {
  auto context = std::make_shared<OpenSslContext>();
  SSL_CTX* ctx = context->get();
  const auto bad = [](const std::string& file) {
    return fail(Errc::kInvalidArgument, file + ": " + last_tls_error());
  };
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_verify(ctx, options.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  ERR_clear_error();
  if (options.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(ctx);
  } else if (SSL_CTX_load_verify_file(ctx, options.ca_file.c_str()) != 1) {
    return bad(options.ca_file);
  }
  if (!options.cert_file.empty()) {
    const std::string& key =
        options.key_file.empty() ? options.cert_file : options.key_file;
    if (SSL_CTX_use_certificate_chain_file(ctx, options.cert_file.c_str()) != 1)
      return bad(options.cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
      return bad(key);
  }
  return context;
}

std::unique_ptr<UpgradableTransport> make_upgradable(std::unique_ptr<Transport> plain) {
  return std::make_unique<TlsTransport>(std::move(plain));
}

}  // namespace sluice
