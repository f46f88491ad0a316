#include "websocket/ws_acceptor.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger log_{"websocket"};

}  // namespace

WsAcceptor::WsAcceptor(Env& env, const WebSocketOptions& options, size_t max_payload,
                       HandshakeGate& gate, OnSession on_session)
    : env_(env),
      options_(options),
      tls_(env.clock, env.timers, gate),
      on_session_(std::move(on_session)),
      world_{.options = options,
             .max_payload = max_payload,
             .timers = env.timers,
             .codec = codec_,
             .counters = counters_} {}

WsAcceptor::~WsAcceptor() { *self_ = nullptr; }

Status WsAcceptor::start() {
  SLUICE_CHECK(listener_ == nullptr);
  if (Status fine = check_websocket_options(options_); !fine) return fine;
  if (!options_.no_tls) {
    if (Status loaded = reload_tls(options_.tls); !loaded) return loaded;
  }
  auto listener = env_.network.listen(
      options_.host, options_.port,
      [this](std::unique_ptr<Transport> transport) { accept(std::move(transport)); });
  if (!listener) return std::unexpected(std::move(listener.error()));
  listener_ = std::move(*listener);
  SLUICE_LOG(log_, kInfo, "listening for websocket clients url={}://{}:{}",
             tls_.enabled() ? "wss" : "ws", options_.host, port());
  return {};
}

Status WsAcceptor::reload_tls(const TlsListenerOptions& tls) {
  TlsListenerOptions first = tls;
  first.handshake_first = true;  // HTTP begins inside
  first.first_fallback = {};
  return tls_.load(first, false);
}

void WsAcceptor::stop_listening() {
  if (listener_ == nullptr) return;
  last_port_ = listener_->port();
  listener_.reset();
  pending_.clear();
}

void WsAcceptor::accept(std::unique_ptr<Transport> transport) {
  if (pending_.size() >= options_.max_handshakes || (tls_.enabled() && !tls_.admit())) {
    ++counters_.crowded_out;
    return;  // closes it
  }
  if (tls_.enabled()) transport = tls_.wrap(std::move(transport));
  const uint64_t id = ++last_id_;
  auto session = std::make_unique<WsTransport>(std::move(transport), world_, tls_.enabled());
  WsTransport& begun = *session;
  pending_.emplace(id, std::move(session));
  begun.accept([this, id](std::optional<WsUpgrade> upgrade) { finish(id, std::move(upgrade)); });
}

void WsAcceptor::finish(uint64_t id, std::optional<WsUpgrade> upgrade) {
  auto found = pending_.extract(id);
  SLUICE_CHECK(!found.empty());
  if (upgrade) {
    on_session_(std::move(found.mapped()), std::move(*upgrade));
  } else {
    bury(std::move(found.mapped()));
  }
}

void WsAcceptor::bury(std::unique_ptr<WsTransport> transport) {
  dead_.push_back(std::move(transport));
  if (dead_.size() > 1) return;
  env_.executor.post([self = self_] {
    if (*self != nullptr) (*self)->dead_.clear();
  });
}

void WsAcceptor::collect(MetricSink& sink) const {
  const auto counter = [&sink](std::string_view name, std::string_view help, uint64_t value) {
    sink.counter(name, help, {}, static_cast<double>(value));
  };
  counter("sluice_websocket_upgrades_total", "WebSocket sessions begun.", counters_.upgrades);
  counter("sluice_websocket_refused_handshakes_total",
          "WebSocket handshakes refused, late or broken off.", counters_.refused);
  counter("sluice_websocket_crowded_out_total",
          "Connections closed for too many WebSocket handshakes at once.", counters_.crowded_out);
  counter("sluice_websocket_protocol_errors_total",
          "WebSocket sessions ended for frames that are not the protocol.",
          counters_.protocol_errors);
  counter("sluice_websocket_oversized_messages_total",
          "WebSocket sessions ended for a compressed message above its bound.",
          counters_.too_large);
  if (tls_.enabled()) {
    sink.gauge("sluice_tls_certificate_expiry_timestamp_seconds",
               "When the first certificate of the listener ends.", {{"listener", "websocket"}},
               static_cast<double>(tls_.not_after()) / 1e9);
  }
}

}  // namespace sluice
