#include "websocket/ws_inbound.h"

#include <utility>

namespace sluice {
namespace {

bool is_control(WsOpcode opcode) { return static_cast<uint8_t>(opcode) >= 8; }

WsFailure protocol_error(std::string_view text) { return {WsCloseCode::kProtocolError, text}; }

}  // namespace

std::optional<WsFailure> WsInbound::feed(std::string_view bytes, Events& events) {
  frames_.feed(bytes);
  WsFramePart part;
  while (!events.close) {
    switch (frames_.next(part)) {
      case WsFrameReader::Outcome::kMore:
        return std::nullopt;
      case WsFrameReader::Outcome::kBroken:
        return protocol_error("invalid frame");
      case WsFrameReader::Outcome::kPart:
        if (auto failure = take(part, events)) return failure;
    }
  }
  return std::nullopt;
}

std::optional<WsFailure> WsInbound::take(const WsFramePart& part, Events& events) {
  if (part.begins) {
    if (rules_.masked && !part.masked && !rules_.may_be_unmasked)
      return WsFailure{WsCloseCode::kNone, "mask bit missing"};
    if (!rules_.masked && part.masked) return protocol_error("invalid mask bit");
  }
  if (is_control(part.opcode)) return take_control(part, events);
  if (part.begins) {
    if (auto failure = begin_frame(part)) return failure;
  }
  return take_data(part, events);
}

std::optional<WsFailure> WsInbound::take_control(const WsFramePart& part, Events& events) {
  if (part.rsv1) return protocol_error("reserved bits are set");
  control_.append(part.data);  // 125 bytes at most, by the frame reader
  if (!part.ends) return std::nullopt;
  std::string payload = std::exchange(control_, {});
  if (part.opcode == WsOpcode::kPing) {
    events.ping = true;
    events.pongs = std::move(payload);
  } else if (part.opcode == WsOpcode::kClose) {
    events.close = true;
    if (payload.size() == 1) return protocol_error("close frame of one byte");
    if (payload.size() >= 2) {
      events.close_code = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                                static_cast<uint8_t>(payload[1]));
    }
  }
  return std::nullopt;
}

std::optional<WsFailure> WsInbound::begin_frame(const WsFramePart& part) {
  if (part.opcode == WsOpcode::kContinuation) {
    if (!in_message_) return protocol_error("invalid continuation frame");
    if (part.rsv1) return protocol_error("reserved bits are set");
    return std::nullopt;
  }
  if (in_message_) return protocol_error("new message started before final frame for previous one");
  if (part.rsv1 && !rules_.deflate) return protocol_error("compressed frame received without negotiated compression");
  in_message_ = true;
  compressed_ = part.rsv1;
  return std::nullopt;
}

std::optional<WsFailure> WsInbound::take_data(const WsFramePart& part, Events& events) {
  const bool last = part.ends && part.fin;
  if (last) in_message_ = false;
  if (!compressed_) {
    events.data.append(part.data);
    return std::nullopt;
  }
  if (gathered_.size() + part.data.size() > rules_.max_compressed_bytes)
    return WsFailure{WsCloseCode::kTooLarge, "compressed message too large"};
  gathered_.append(part.data);
  if (!last) return std::nullopt;
  const Status inflated = codec_->inflate(gathered_, rules_.max_message_bytes, events.data);
  gathered_ = {};
  if (inflated) return std::nullopt;
  if (inflated.error().code == Errc::kFull)
    return WsFailure{WsCloseCode::kTooLarge, "inflated message too large"};
  return protocol_error("invalid compressed message");
}

}  // namespace sluice
