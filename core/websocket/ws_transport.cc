#include "websocket/ws_transport.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger log_{"websocket"};
constexpr size_t kPadding_bytes = 64;         // promised by TransportHandler::on_bytes
constexpr size_t kMaxRequest_bytes = 32 * kKiB;  // cookies may hold a JWT
constexpr size_t kWorthCompressing_bytes = 64;
constexpr size_t kMaxCompressed_bytes = 64 * kMiB;
constexpr size_t kMaxCloseReason_bytes = 123;
/// A compressed message may hold a whole NATS message with its control line.
constexpr size_t kControlLineRoom_bytes = 64 * kKiB;

}  // namespace

WsTransport::WsTransport(std::unique_ptr<Transport> under, WsWorld& world, bool tls)
    : under_(std::move(under)), world_(world), tls_(tls) {}

// ---------------------------------------------------------------- handshake

void WsTransport::accept(Done done) {
  done_ = std::move(done);
  parser_ = std::make_unique<HttpRequestParser>(
      HttpLimits{.max_header_bytes = kMaxRequest_bytes, .max_body_bytes = 0});
  timer_ = world_.timers.make([this] {
    SLUICE_LOG(log_, kInfo, "no upgrade in time peer={}", under_->peer_address());
    ++world_.counters.refused;
    under_->close(false);
    finish(std::nullopt);
  });
  timer_->start(world_.options.handshake_timeout);
  under_->start(*this);
}

void WsTransport::on_request_bytes(std::string_view bytes) {
  switch (parser_->parse(bytes)) {
    case HttpRequestParser::Outcome::kHead:  // not asked for
    case HttpRequestParser::Outcome::kMore:
      return;
    case HttpRequestParser::Outcome::kBad:
      return refuse({parser_->error_status(), "not a request"});
    case HttpRequestParser::Outcome::kRequest:
      break;
  }
  auto upgrade = check_upgrade(parser_->request(), world_.options, tls_);
  if (!upgrade) return refuse(upgrade.error());
  // The client has to wait for the answer: nothing it sends before can be right.
  if (!bytes.empty()) return refuse({400, "bytes behind the request"});
  std::string answer = upgrade_response(*upgrade, world_.options);
  under_->write(answer);
  ++world_.counters.upgrades;
  deflate_ = upgrade->deflate;
  whole_compressed_ = upgrade->whole_compressed;
  max_frame_bytes_ = upgrade->max_frame_bytes;
  forwarded_for_ = upgrade->forwarded_for;
  inbound_ = std::make_unique<WsInbound>(
      WsInboundRules{.masked = true,
                     .may_be_unmasked = upgrade->no_masking,
                     .deflate = deflate_,
                     .max_message_bytes = world_.max_payload + kControlLineRoom_bytes,
                     .max_compressed_bytes =
                         std::min(8 * world_.max_payload, kMaxCompressed_bytes)},
      &world_.codec);
  stage_ = Stage::kOpen;
  finish(std::move(*upgrade));
}

void WsTransport::refuse(const WsRefusal& refusal) {
  ++world_.counters.refused;
  SLUICE_LOG(log_, kInfo, "upgrade refused peer={} status={} why=\"{}\"", under_->peer_address(),
             refusal.status, refusal.why);
  std::string answer = refusal_response(refusal);
  under_->write(answer);
  under_->close(true);
  finish(std::nullopt);
}

/// May destroy this.
void WsTransport::finish(std::optional<WsUpgrade> upgrade) {
  timer_->stop();
  parser_.reset();
  if (!upgrade) stage_ = Stage::kClosed;
  Done done = std::move(done_);
  done(std::move(upgrade));
}

// ---------------------------------------------------------------- session

void WsTransport::start(TransportHandler& handler) {
  handler_ = &handler;
  timer_.reset();
}

void WsTransport::on_bytes(std::string_view bytes) {
  if (stage_ == Stage::kRequest) return on_request_bytes(bytes);
  if (stage_ == Stage::kOpen && handler_ != nullptr) on_frames(bytes);
}

void WsTransport::on_drained() {
  if (handler_ != nullptr) handler_->on_drained();
}

void WsTransport::on_closed(const Error& why) {
  const bool in_request = stage_ == Stage::kRequest;
  stage_ = Stage::kClosed;
  if (in_request) {
    ++world_.counters.refused;
    finish(std::nullopt);
  } else if (handler_ != nullptr) {
    handler_->on_closed(why);
  }
}

void WsTransport::on_frames(std::string_view bytes) {
  WsInbound::Events events;
  events.data.reserve(bytes.size() + kPadding_bytes);
  const auto failure = inbound_->feed(bytes, events);
  if (!events.data.empty()) {
    const size_t size = events.data.size();
    events.data.append(kPadding_bytes, '\0');
    const std::weak_ptr<char> alive = alive_;
    handler_->on_bytes(std::string_view(events.data).substr(0, size));
    if (alive.expired() || stage_ != Stage::kOpen) return;
  }
  if (events.ping) {
    append_ws_frame(world_.records, {.opcode = WsOpcode::kPong}, events.pongs);
    send();
  }
  if (failure) return fail_session(*failure);
  if (!events.close) return;
  append_close(events.close_code == 0 ? WsCloseCode::kNormal
                                      : static_cast<WsCloseCode>(events.close_code), {});
  stage_ = Stage::kClosed;
  under_->close(true);
  handler_->on_closed({Errc::kClosed, 0, "closed by the peer"});
}

/// May destroy this.
void WsTransport::fail_session(const WsFailure& failure) {
  ++(failure.code == WsCloseCode::kTooLarge ? world_.counters.too_large
                                            : world_.counters.protocol_errors);
  SLUICE_LOG(log_, kInfo, "session ended peer={} why=\"{}\"", under_->peer_address(), failure.text);
  append_close(failure.code, failure.text);
  stage_ = Stage::kClosed;
  under_->close(true);
  handler_->on_closed({Errc::kCorrupt, 0, "WebSocket: " + std::string(failure.text)});
}

void WsTransport::write(std::string& bytes) {
  if (stage_ == Stage::kOpen && !bytes.empty()) {
    append_message(bytes);
    send();
  }
  bytes.clear();
}

void WsTransport::append_message(std::string_view bytes) {
  const size_t most = max_frame_bytes_ == 0 ? std::string_view::npos : max_frame_bytes_;
  if (!deflate_ || bytes.size() <= kWorthCompressing_bytes) {
    // Each frame is a message of its own: bytes are a stream here.
    for (; !bytes.empty(); bytes.remove_prefix(std::min(most, bytes.size())))
      append_ws_frame(world_.records, {.opcode = WsOpcode::kBinary}, bytes.substr(0, most));
    return;
  }
  std::string compressed;
  world_.codec.deflate(bytes, compressed);
  std::string_view rest = compressed;
  const size_t part = whole_compressed_ ? std::string_view::npos : most;
  for (bool first = true; first || !rest.empty(); first = false) {
    const std::string_view piece = rest.substr(0, part);
    rest.remove_prefix(piece.size());
    append_ws_frame(world_.records,
                    {.opcode = first ? WsOpcode::kBinary : WsOpcode::kContinuation,
                     .fin = rest.empty(),
                     .rsv1 = first},
                    piece);
  }
}

void WsTransport::append_close(WsCloseCode code, std::string_view reason) {
  if (code == WsCloseCode::kNone) return;
  const auto number = static_cast<uint16_t>(code);
  std::string body{static_cast<char>(number >> 8), static_cast<char>(number & 0xff)};
  body += reason.substr(0, kMaxCloseReason_bytes);
  append_ws_frame(world_.records, {.opcode = WsOpcode::kClose}, body);
  send();
}

void WsTransport::send() {
  under_->write(world_.records);
  world_.records.clear();
}

void WsTransport::close(bool flush) {
  if (stage_ == Stage::kOpen) append_close(close_code_, close_reason_);
  stage_ = Stage::kClosed;
  handler_ = nullptr;
  under_->close(flush);
}

void WsTransport::set_close_status(uint16_t code, std::string_view reason) {
  close_code_ = static_cast<WsCloseCode>(code);
  close_reason_ = reason;
}

std::string WsTransport::peer_address() const {
  const std::string peer = under_->peer_address();
  if (forwarded_for_.empty()) return peer;
  const size_t colon = peer.rfind(':');
  const std::string port = colon == std::string::npos ? ":0" : peer.substr(colon);
  return (forwarded_for_.find(':') == std::string::npos ? forwarded_for_
                                                        : "[" + forwarded_for_ + "]") + port;
}

}  // namespace sluice
