#include "remote/connection.h"

#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "compression/compressed_transport.h"
#include "wire/client_parser.h"
#include "wire/encoder.h"

namespace sluice {
namespace {

constexpr Logger kLog{"remote"};
constexpr size_t kMaxSend_bytes = 32 * kMiB;
constexpr size_t kFlushNow_bytes = 64 * kKiB;
constexpr std::chrono::seconds kPingInterval{20};
constexpr int kMaxPingsOut = 2;
/// With LinkCompression::kAuto, from dialling to INFO: a shorter way to the server carries more than we compress.
constexpr std::chrono::milliseconds kWorthCompressing{10};
/// Above any max_payload a server may have, as messages of a server are taken whole.
constexpr size_t kMaxIncoming_bytes = 64 * kMiB + kMaxHeaderBlock_bytes;

enum class Phase : uint8_t { kDialling, kAwaitInfo, kAwaitPong, kReady, kLost };

class NatsConnection final : public RemoteConnection, private TransportHandler {
 public:
  NatsConnection(Env& env, const LinkOptions& options, const ServerUrl& server,
                 std::shared_ptr<TlsClientContext> tls, Dictionaries& dictionaries, ConnectionHandler& handler)
      : env_(env),
        options_(options),
        server_(server),
        tls_(std::move(tls)),
        dictionaries_(dictionaries),
        handler_(handler),
        timer_(env.timers.make([this] { on_timer(); })) {
    timer_->start(options_.connect_timeout);
    dialled_at_ = env.clock.now();
    dial_ = env.network.connect(server_.host, server_.port,
                                [this](Result<std::unique_ptr<Transport>> got) {
                                  dial_.release();
                                  on_dialled(std::move(got));
                                });
  }
  ~NatsConnection() override = default;

  Status publish(const LinkMessage& message) override {
    const size_t size = message.headers.size() + message.payload.size();
    if (size > info_.max_payload)
      return fail(Errc::kInvalidArgument, "larger than the server's max_payload");
    if (out_.size() + transport_->queued_bytes() + size > kMaxSend_bytes)
      return fail(Errc::kFull, "the send buffer is full");
    append_pub(out_, message.subject, message.reply, message.headers, message.payload);
    written();
    return {};
  }

  void subscribe(std::string_view subject, std::string_view queue, uint64_t sid) override {
    out_.append("SUB ").append(subject).append(" ");
    if (!queue.empty()) out_.append(queue).append(" ");
    out_.append(std::to_string(sid)).append("\r\n");
    written();
  }

  void unsubscribe(uint64_t sid) override {
    out_.append("UNSUB ").append(std::to_string(sid)).append("\r\n");
    written();
  }

  void stop_reading() override {
    if (std::exchange(stopped_, true) || !transport_) return;
    transport_->pause_reading();
  }

  LinkTraffic traffic() const override {
    if (!transport_) return {};
    const ByteFlow& flow = transport_->flow();
    return {flow.sent, flow.sent_packed, flow.received, flow.received_packed, transport_->compressed()};
  }

  void resume_reading() override {
    if (!std::exchange(stopped_, false) || !transport_) return;
    pings_out_ = 0;
    transport_->resume_reading();
    env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) read_events();
    });
  }

 private:
  // TransportHandler
  void on_bytes(std::string_view bytes) override {
    if (phase_ == Phase::kLost) return;
    pings_out_ = 0;
    parser_.feed(bytes);
    read_events();
  }
  void on_drained() override {}
  void on_closed(const Error& why) override {
    lost(last_error_.empty() ? why : Error{Errc::kRefused, 0, last_error_});
  }

  void on_dialled(Result<std::unique_ptr<Transport>> got) {
    if (!got) return lost(got.error());
    auto upgradable = make_upgradable(std::move(*got));
    upgradable_ = upgradable.get();
    transport_ = std::make_unique<CompressedTransport>(std::move(upgradable), env_.executor);
    phase_ = Phase::kAwaitInfo;
    transport_->start(*this);
    if (options_.tls_first) begin_tls();
  }

  /// False: it can't, and the connection is lost.
  bool begin_tls() {
    if (!tls_) {
      auto context = make_tls_client_context(tls_options(options_));
      if (!context) {
        lost(context.error());
        return false;
      }
      tls_ = std::move(*context);
    }
    upgradable_->begin_tls(tls_, server_.tls_name);
    return true;
  }

  bool wants_compression() const {
    switch (options_.compression) {
      case LinkCompression::kAuto: return info_.sluice_zstd && is_long_way_;
      case LinkCompression::kZstd: return true;
      case LinkCompression::kNone: return false;
    }
    return false;
  }

  /// A paused link keeps what it has read in the parser.
  void read_events() {
    const std::weak_ptr<char> alive = alive_;
    while (!held_up() && phase_ != Phase::kLost) {
      ServerEvent event;
      const Result<bool> got = parser_.next(event);
      if (!got) return lost(got.error());
      if (!*got) return;
      on_event(event);
      if (alive.expired()) return;
    }
  }

  bool held_up() const { return stopped_ && phase_ == Phase::kReady; }

  void on_event(const ServerEvent& event) {
    switch (event.kind) {
      case ServerEventKind::kInfo:
        return on_info(event.text);
      case ServerEventKind::kMsg:
        return handler_.on_message(event.sid,
                                   {event.subject, event.reply, event.header, event.payload});
      case ServerEventKind::kPing:
        out_.append(kPongLine);
        return written();
      case ServerEventKind::kPong:
        if (phase_ == Phase::kAwaitPong) become_ready();
        return;
      case ServerEventKind::kOk:
        return;
      case ServerEventKind::kErr:
        return on_error(event.text);
    }
  }

  void on_info(std::string_view json) {
    auto info = parse_server_info(json);
    if (!info) return lost(info.error());
    info_ = std::move(*info);
    if (phase_ != Phase::kAwaitInfo) return handler_.on_server_info(info_);
    is_long_way_ = env_.clock.now() - dialled_at_ >= kWorthCompressing;
    const bool tls = server_.tls || info_.tls_required || options_.tls_first;
    if (tls && !options_.tls_first && !info_.tls_required && !info_.tls_available)
      return lost({Errc::kDenied, 0, "the server offers no TLS"});
    if (options_.compression == LinkCompression::kZstd && !info_.sluice_zstd)
      return lost({Errc::kRefused, 0, "the server offers no zstd compression (it is no Sluice, or has max_compressed of them)"});
    auto connect = make_connect_line(env_.disk, options_, server_, info_, tls);
    if (!connect) return lost(connect.error());
    phase_ = Phase::kAwaitPong;
    if (tls && !options_.tls_first && !begin_tls()) return;
    transport_->write(*connect);
    if (options_.compression == LinkCompression::kAuto) transport_->adapt(env_.clock);
    if (wants_compression()) transport_->begin(info_.sluice_zstd_dictionaries ? &dictionaries_ : nullptr);
    std::string ping(kPingLine);
    transport_->write(ping);
    handler_.on_server_info(info_);
  }

  void become_ready() {
    phase_ = Phase::kReady;
    if (stopped_) transport_->pause_reading();
    timer_->start(kPingInterval);
    handler_.on_ready();
  }

  /// The server closes by itself after those errors that are fatal.
  void on_error(std::string_view text) {
    if (phase_ != Phase::kReady) return lost({Errc::kRefused, 0, std::string(text)});
    SLUICE_LOG(kLog, kWarn, "error from server name={} server={} text=\"{}\"", options_.name,
               server_.text(), text);
    const bool passing = text.starts_with("Permissions Violation") ||
                         text.starts_with("Invalid Subject") ||
                         text.starts_with("Invalid Publish Subject");
    if (!passing) last_error_ = text;
  }

  void on_timer() {
    if (phase_ != Phase::kReady) return lost({Errc::kTimeout, 0, "no connection in time"});
    timer_->start(kPingInterval);
    if (stopped_) return;
    if (pings_out_ >= kMaxPingsOut) return lost({Errc::kTimeout, 0, "the server is silent"});
    ++pings_out_;
    out_.append(kPingLine);
    written();
  }

  void written() {
    if (out_.size() >= kFlushNow_bytes) return flush();
    if (std::exchange(flush_enlisted_, true)) return;
    env_.executor.at_round_end(RoundPhase::kFlush, [this, alive = std::weak_ptr<char>(alive_)] {
      if (alive.expired()) return;
      flush_enlisted_ = false;
      flush();
    });
  }

  void flush() {
    if (out_.empty() || !transport_ || phase_ == Phase::kLost) return;
    transport_->write(out_);
  }

  void lost(const Error& why) {
    if (std::exchange(phase_, Phase::kLost) == Phase::kLost) return;
    timer_->stop();
    if (transport_) transport_->close(false);
    handler_.on_lost(why);
  }

  Env& env_;
  const LinkOptions options_;
  const ServerUrl server_;
  std::shared_ptr<TlsClientContext> tls_;
  Dictionaries& dictionaries_;
  ConnectionHandler& handler_;
  Phase phase_ = Phase::kDialling;
  bool stopped_ = false;
  bool flush_enlisted_ = false;
  MonoTime dialled_at_{};
  bool is_long_way_ = false;
  int pings_out_ = 0;
  ServerInfo info_;
  ClientParser parser_{kMaxIncoming_bytes};
  std::string out_;
  std::string last_error_;
  std::unique_ptr<Timer> timer_;
  Ticket dial_;
  UpgradableTransport* upgradable_ = nullptr;  ///< inside of transport_
  std::unique_ptr<CompressedTransport> transport_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

std::unique_ptr<RemoteConnection> RemoteConnection::open(Env& env, const LinkOptions& options,
                                             const ServerUrl& server,
                                             std::shared_ptr<TlsClientContext> tls,
                                             Dictionaries& dictionaries, ConnectionHandler& handler) {
  return std::make_unique<NatsConnection>(env, options, server, std::move(tls), dictionaries, handler);
}

}  // namespace sluice
