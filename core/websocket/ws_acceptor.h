// The WebSocket listener: takes connections, through TLS and the HTTP handshake, until they are
// sessions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "crypto/tls_acceptor.h"
#include "io/env.h"
#include "websocket/ws_transport.h"

namespace sluice {

/// Loop thread only; outlives the sessions it has handed over.
class WsAcceptor {
 public:
  using OnSession = std::move_only_function<void(std::unique_ptr<Transport>, WsUpgrade)>;

  /// @param options must outlive it.
  WsAcceptor(Env& env, const WebSocketOptions& options, size_t max_payload, HandshakeGate& gate,
             OnSession on_session);
  ~WsAcceptor();
  WsAcceptor(const WsAcceptor&) = delete;
  WsAcceptor& operator=(const WsAcceptor&) = delete;

  /// Errors of check_websocket_options() and of the TLS files; kIo when the address can't be bound.
  Status start();
  /// Accepts nobody any more and drops the handshakes under way; sessions go on.
  void stop_listening();
  /// New certificates for those who connect later.
  Status reload_tls(const TlsListenerOptions& tls);

  /// Also once nobody listens any more.
  uint16_t port() const { return listener_ == nullptr ? last_port_ : listener_->port(); }
  const TlsAcceptor& tls() const { return tls_; }
  const WsCounters& counters() const { return counters_; }
  size_t handshakes() const { return pending_.size(); }
  void collect(MetricSink& sink) const;

 private:
  void accept(std::unique_ptr<Transport> transport);
  void finish(uint64_t id, std::optional<WsUpgrade> upgrade);
  void bury(std::unique_ptr<WsTransport> transport);

  Env& env_;
  const WebSocketOptions& options_;
  TlsAcceptor tls_;
  OnSession on_session_;
  WsDeflate codec_;
  WsCounters counters_;
  WsWorld world_;
  uint64_t last_id_ = 0;
  uint16_t last_port_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<WsTransport>> pending_;
  std::vector<std::unique_ptr<WsTransport>> dead_;  ///< may still be on the stack
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<WsAcceptor*> self_ = std::make_shared<WsAcceptor*>(this);
};

}  // namespace sluice
