#include "crypto/tls_transport.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "crypto/secret.h"
#include "crypto/tls_context_openssl.h"
#include "crypto/tls_peer.h"

namespace sluice {
namespace {

constexpr size_t kReadChunk_bytes = 16 * 1024;
constexpr size_t kPadding_bytes = 64;  // promised by TransportHandler::on_bytes
/// More than this before the handshake is done is no handshake.
constexpr size_t kMaxHandshakeInput_bytes = 256 * 1024;
constexpr char kHandshakeRecord = 0x16;

/// Both ends of OpenSSL's stream: it reads from a view and appends to a string.
struct RecordPipe {
  std::string_view in;
  std::string* out = nullptr;  ///< the context's
};

int pipe_read(BIO* bio, char* into, int size) {
  auto& pipe = *static_cast<RecordPipe*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (pipe.in.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const size_t taken = std::min(pipe.in.size(), static_cast<size_t>(size));
  std::memcpy(into, pipe.in.data(), taken);
  pipe.in.remove_prefix(taken);
  return static_cast<int>(taken);
}

int pipe_write(BIO* bio, const char* bytes, int size) {
  static_cast<RecordPipe*>(BIO_get_data(bio))->out->append(bytes, static_cast<size_t>(size));
  return size;
}

long pipe_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO* make_bio(RecordPipe& pipe) {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "records");
    SLUICE_CHECK(made != nullptr);
    BIO_meth_set_read(made, &pipe_read);
    BIO_meth_set_write(made, &pipe_write);
    BIO_meth_set_ctrl(made, &pipe_control);
    return made;
  }();
  BIO* bio = BIO_new(method);
  SLUICE_CHECK(bio != nullptr);
  BIO_set_data(bio, &pipe);
  BIO_set_init(bio, 1);
  return bio;
}

class TlsTransport final : public UpgradableTransport, private TransportHandler {
 public:
  /// A client's.
  explicit TlsTransport(std::unique_ptr<Transport> plain) : plain_(std::move(plain)) {}
  /// A server's.
  TlsTransport(std::unique_ptr<Transport> plain, std::shared_ptr<SslServerContext> context,
               const TlsAcceptPolicy& policy, const TlsAcceptWorld& world)
      : plain_(std::move(plain)),
        stage_(policy.handshake_first ? Stage::kHelloFirst : Stage::kGreet),
        server_(std::make_unique<ServerSide>(
            ServerSide{std::move(context), policy, world.gate, nullptr, {}, false})) {
    server_->timer = world.timers.make([this] { on_timer(); });
  }
  ~TlsTransport() override { SSL_free(ssl_); }
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  void begin_tls(std::shared_ptr<TlsClientContext> context,
                 const std::string& server_name) override {
    SLUICE_CHECK(stage_ == Stage::kClear && server_ == nullptr);
    client_context_ = std::static_pointer_cast<SslClientContext>(std::move(context));
    make_ssl(client_context_->ssl());
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
    stage_ = Stage::kHandshake;
    SSL_do_handshake(ssl_);
    send_records();
  }

  // Transport
  void start(TransportHandler& handler) override {
    handler_ = &handler;
    if (stage_ == Stage::kHelloFirst) {
      const TlsAcceptPolicy& policy = server_->policy;
      const bool falls_back = policy.first_fallback > std::chrono::nanoseconds::zero();
      server_->timer->start(falls_back ? policy.first_fallback : policy.timeout);
    }
    plain_->start(*this);
  }
  void write(std::string& bytes) override {
    switch (stage_) {
      case Stage::kClear:
        return plain_->write(bytes);
      case Stage::kGreet:
        stage_ = Stage::kAwaitHello;
        server_->timer->start(server_->policy.timeout);
        return plain_->write(bytes);
      case Stage::kOpen:
        encrypt(bytes);
        bytes.clear();
        return;
      case Stage::kHelloFirst:
      case Stage::kAwaitHello:
      case Stage::kHandshake:
        waiting_ += bytes;
        break;
      case Stage::kClosed:
        break;
    }
    bytes.clear();
  }
  size_t queued_bytes() const override { return waiting_.size() + plain_->queued_bytes(); }
  void pause_reading() override { plain_->pause_reading(); }
  void resume_reading() override { plain_->resume_reading(); }
  void close(bool flush) override {
    if (stage_ == Stage::kOpen) {
      SSL_shutdown(ssl_);
      send_records();
    }
    // In the middle of a handshake plain bytes would only confuse the peer.
    end_handshake();
    stage_ = Stage::kClosed;
    plain_->close(flush);
  }
  std::string peer_address() const override { return plain_->peer_address(); }
  bool established() const override { return stage_ == Stage::kClear || stage_ == Stage::kOpen; }
  const TlsPeer* tls() const override { return peer_.get(); }

 private:
  enum class Stage : uint8_t {
    kClear,       ///< bytes pass through
    kGreet,       ///< server: the first write goes out in clear
    kHelloFirst,  ///< server: nothing goes out before the peer's hello (or the fallback)
    kAwaitHello,  ///< server: greeted
    kHandshake,
    kOpen,
    kClosed,
  };

  struct ServerSide {
    std::shared_ptr<SslServerContext> context;
    TlsAcceptPolicy policy;
    HandshakeGate& gate;
    std::unique_ptr<Timer> timer;
    std::string input;  ///< of the handshake, until the gate lets it in
    bool step_wanted;
  };

  void make_ssl(const SslContext& context) {
    ssl_ = SSL_new(context.get());
    SLUICE_CHECK(ssl_ != nullptr);
    pipe_.out = &context.records();
    BIO* bio = make_bio(pipe_);
    SSL_set_bio(ssl_, bio, bio);
  }

  // TransportHandler
  void on_bytes(std::string_view bytes) override {
    switch (stage_) {
      case Stage::kClear:
        return handler_->on_bytes(bytes);
      case Stage::kGreet:
      case Stage::kHelloFirst:
      case Stage::kAwaitHello:
        return on_first_bytes(bytes);
      case Stage::kHandshake:
        if (server_ != nullptr) return queue_step(bytes);
        pipe_.in = bytes;
        return shake_hands();
      case Stage::kOpen:
        pipe_.in = bytes;
        return decrypt();
      case Stage::kClosed:
        return;
    }
  }
  void on_drained() override { handler_->on_drained(); }
  void on_closed(const Error& why) override {
    end_handshake();
    stage_ = Stage::kClosed;
    handler_->on_closed(why);
  }

  void on_first_bytes(std::string_view bytes) {
    if (bytes.front() == kHandshakeRecord) {
      make_ssl(server_->context->ssl());
      SSL_set_accept_state(ssl_);
      if (stage_ == Stage::kHelloFirst) server_->timer->start(server_->policy.timeout);
      stage_ = Stage::kHandshake;
      return queue_step(bytes);
    }
    if (!server_->policy.optional)
      return fail_stream({Errc::kDenied, 0, "TLS: the peer does not speak TLS"});
    const std::weak_ptr<char> alive = alive_;
    go_clear();
    if (!alive.expired() && stage_ == Stage::kClear) handler_->on_bytes(bytes);
  }

  /// The peer stays in clear: everything passes through from here on.
  void go_clear() {
    stage_ = Stage::kClear;
    end_handshake();
    if (!waiting_.empty()) plain_->write(waiting_);
    handler_->on_established();
  }

  void on_timer() {
    if (stage_ == Stage::kHelloFirst && server_->policy.first_fallback > std::chrono::nanoseconds(0)) {
      // Greeted after all; from here on as if it had been so from the start.
      stage_ = Stage::kAwaitHello;
      server_->timer->start(server_->policy.timeout);
      if (!waiting_.empty()) plain_->write(waiting_);
      return;
    }
    if (stage_ == Stage::kAwaitHello && server_->policy.optional) return go_clear();
    fail_stream({Errc::kTimeout, 0, "TLS: no handshake in time"});
  }

  // ------------------------------------------------------------- handshake

  void queue_step(std::string_view bytes) {
    server_->input += bytes;
    if (server_->input.size() > kMaxHandshakeInput_bytes)
      return fail_stream({Errc::kDenied, 0, "TLS: the handshake is too long"});
    if (std::exchange(server_->step_wanted, true)) return;
    server_->gate.run([this, alive = std::weak_ptr(alive_)] {
      if (alive.expired() || stage_ != Stage::kHandshake) return;
      server_->step_wanted = false;
      const std::string input = std::exchange(server_->input, {});
      pipe_.in = input;
      shake_hands();
    });
  }

  void shake_hands() {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_);
    send_records();  // an alert, too
    if (done != 1) {
      if (SSL_get_error(ssl_, done) != SSL_ERROR_WANT_READ) fail_tls();
      return;
    }
    peer_ = std::make_unique<TlsPeer>(read_tls_peer(ssl_));
    if (server_ != nullptr && !is_pinned())
      return fail_stream({Errc::kDenied, 0, "TLS: the certificate is not one of the pinned ones"});
    stage_ = Stage::kOpen;
    end_handshake();
    const std::weak_ptr<char> alive = alive_;
    handler_->on_established();
    if (alive.expired() || stage_ != Stage::kOpen) return;
    if (!waiting_.empty()) {
      encrypt(waiting_);
      waiting_ = {};
    }
    decrypt();
  }

  bool is_pinned() const {
    const std::vector<std::string>& pins = server_->context->pinned_certs();
    if (pins.empty()) return true;
    return std::ranges::any_of(
        pins, [&](const std::string& pin) { return secrets_equal(peer_->public_key_sha256, pin); });
  }

  void end_handshake() {
    if (server_ != nullptr) server_->timer->stop();
  }

  // ------------------------------------------------------------- open

  void decrypt() {
    const std::weak_ptr<char> alive = alive_;
    while (stage_ == Stage::kOpen) {
      std::array<char, kReadChunk_bytes + kPadding_bytes> chunk;
      ERR_clear_error();
      const int got = SSL_read(ssl_, chunk.data(), kReadChunk_bytes);
      if (got > 0) {
        std::memset(chunk.data() + got, 0, kPadding_bytes);
        handler_->on_bytes({chunk.data(), static_cast<size_t>(got)});
        if (alive.expired()) return;
        continue;
      }
      send_records();  // answers to key updates
      const int error = SSL_get_error(ssl_, got);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) break;
      if (error == SSL_ERROR_ZERO_RETURN)
        return fail_stream({Errc::kClosed, 0, "closed by the peer"});
      return fail_tls();
    }
    pipe_.in = {};
  }

  void encrypt(const std::string& bytes) {
    if (bytes.empty()) return;
    ERR_clear_error();
    // The pipe takes everything, so a write is whole or an error that reading will tell, too.
    SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
    send_records();
  }

  void send_records() {
    if (!pipe_.out->empty()) plain_->write(*pipe_.out);
  }

  void fail_tls() {
    const long verified = SSL_get_verify_result(ssl_);
    std::string why =
        verified != X509_V_OK ? X509_verify_cert_error_string(verified) : take_tls_error();
    fail_stream({Errc::kDenied, 0, "TLS: " + why});
  }

  /// May destroy this.
  void fail_stream(const Error& why) {
    if (stage_ == Stage::kClosed) return;
    stage_ = Stage::kClosed;
    end_handshake();
    plain_->close(true);
    handler_->on_closed(why);
  }

  std::unique_ptr<Transport> plain_;
  TransportHandler* handler_ = nullptr;
  Stage stage_ = Stage::kClear;
  SSL* ssl_ = nullptr;
  RecordPipe pipe_;
  std::string waiting_;  ///< written before the handshake was done
  std::unique_ptr<TlsPeer> peer_;
  std::unique_ptr<ServerSide> server_;
  std::shared_ptr<SslClientContext> client_context_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

std::unique_ptr<UpgradableTransport> make_upgradable(std::unique_ptr<Transport> plain) {
  return std::make_unique<TlsTransport>(std::move(plain));
}

std::unique_ptr<Transport> accept_tls(std::unique_ptr<Transport> plain,
                                      std::shared_ptr<TlsServerContext> context,
                                      const TlsAcceptPolicy& policy, const TlsAcceptWorld& world) {
  return std::make_unique<TlsTransport>(
      std::move(plain), std::static_pointer_cast<SslServerContext>(std::move(context)), policy,
      world);
}

}  // namespace sluice
