// A WebSocket session around a byte stream, the server's side. The session on top can't tell: it
// reads and writes bytes; frames, pings, compression and close codes stay in here.
//
// Happy path: the request comes whole, is checked and answered; `done` hands the transport over;
// start(). Failures: a bad or late request is answered in HTTP and closed; a broken rule of the
// protocol is answered by a close frame with its code.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "http/request_parser.h"
#include "io/timers.h"
#include "io/transport.h"
#include "websocket/ws_deflate.h"
#include "websocket/ws_inbound.h"
#include "websocket/ws_options.h"
#include "websocket/ws_upgrade.h"

namespace sluice {

struct WsCounters {
  uint64_t upgrades = 0;
  uint64_t refused = 0;          ///< requests answered with an HTTP error, late or broken off
  uint64_t protocol_errors = 0;  ///< sessions ended for frames that are not the protocol
  uint64_t too_large = 0;        ///< sessions ended at the bound of a compressed message
  uint64_t crowded_out = 0;      ///< closed at max_handshakes
};

/// What the sessions of a listener share; outlives them. Loop thread only.
struct WsWorld {
  const WebSocketOptions& options;
  size_t max_payload = 0;  ///< of one NATS message
  Timers& timers;
  WsDeflate& codec;
  WsCounters& counters;
  std::string records = {};  ///< bytes on their way out, for the moment of one write
};

class WsTransport final : public Transport, private TransportHandler {
 public:
  using Done = std::move_only_function<void(std::optional<WsUpgrade>)>;

  WsTransport(std::unique_ptr<Transport> under, WsWorld& world, bool tls);
  WsTransport(const WsTransport&) = delete;
  WsTransport& operator=(const WsTransport&) = delete;

  /// Reads the request and answers it. `done` runs once, as the last act of a callback: with the
  /// session's terms, and then start() may follow; or with nothing when there will be none.
  void accept(Done done);

  // Transport
  void start(TransportHandler& handler) override;
  void write(std::string& bytes) override;
  size_t queued_bytes() const override { return under_->queued_bytes(); }
  void pause_reading() override { under_->pause_reading(); }
  void resume_reading() override { under_->resume_reading(); }
  void close(bool flush) override;
  std::string peer_address() const override;
  const TlsPeer* tls() const override { return under_->tls(); }
  void set_close_status(uint16_t code, std::string_view reason) override;

 private:
  enum class Stage : uint8_t { kRequest, kOpen, kClosed };

  // TransportHandler
  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_closed(const Error& why) override;

  void on_request_bytes(std::string_view bytes);
  void refuse(const WsRefusal& refusal);
  void finish(std::optional<WsUpgrade> upgrade);
  void on_frames(std::string_view bytes);
  void fail_session(const WsFailure& failure);
  void append_message(std::string_view bytes);
  void append_close(WsCloseCode code, std::string_view reason);
  void send();

  std::unique_ptr<Transport> under_;
  WsWorld& world_;
  const bool tls_;
  Stage stage_ = Stage::kRequest;
  TransportHandler* handler_ = nullptr;
  // Until the session begins.
  Done done_;
  std::unique_ptr<HttpRequestParser> parser_;
  std::unique_ptr<Timer> timer_;
  // From then on.
  std::unique_ptr<WsInbound> inbound_;
  bool deflate_ = false;
  bool whole_compressed_ = false;
  size_t max_frame_bytes_ = 0;
  std::string forwarded_for_;
  WsCloseCode close_code_ = WsCloseCode::kNormal;
  std::string close_reason_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
