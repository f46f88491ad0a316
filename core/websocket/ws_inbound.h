// Frames of a peer → the bytes inside its messages, with the rules of one session: masking,
// fragmentation, reserved bits, control frames, compressed messages within their bounds. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "websocket/ws_deflate.h"
#include "websocket/ws_frames.h"

namespace sluice {

/// Close codes of RFC 6455 section 7.4.1.
enum class WsCloseCode : uint16_t {
  kNone = 0,  ///< no close frame at all
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kPolicyViolation = 1008,
  kTooLarge = 1009,
  kInternalError = 1011,
  kTlsHandshake = 1015,
};

struct WsInboundRules {
  bool masked = true;              ///< the peer must mask
  bool may_be_unmasked = false;    ///< Nats-No-Masking was agreed
  bool deflate = false;            ///< permessage-deflate was agreed
  size_t max_message_bytes = 0;    ///< of an inflated message
  size_t max_compressed_bytes = 0; ///< gathered before it is inflated
};

/// Why a session must end.
struct WsFailure {
  WsCloseCode code = WsCloseCode::kProtocolError;
  std::string_view text;  ///< a literal
};

class WsInbound {
 public:
  struct Events {
    std::string data = {};   ///< what the messages hold, in order; messages are not told apart
    std::string pongs = {};  ///< payload of the last ping; answered once however many came
    bool ping = false;
    bool close = false;  ///< the peer ends the session; nothing behind it counts
    uint16_t close_code = 0;
  };

  /// `codec` may be null without deflate.
  WsInbound(const WsInboundRules& rules, WsDeflate* codec) : rules_(rules), codec_(codec) {}

  /// Takes all of `bytes`. After a failure it must not be fed again.
  std::optional<WsFailure> feed(std::string_view bytes, Events& events);

 private:
  std::optional<WsFailure> take(const WsFramePart& part, Events& events);
  std::optional<WsFailure> take_control(const WsFramePart& part, Events& events);
  std::optional<WsFailure> begin_frame(const WsFramePart& part);
  std::optional<WsFailure> take_data(const WsFramePart& part, Events& events);

  const WsInboundRules rules_;
  WsDeflate* codec_;
  WsFrameReader frames_;
  bool in_message_ = false;  ///< a fragmented one has begun
  bool compressed_ = false;  ///< and is compressed
  std::string gathered_;     ///< of a compressed message
  std::string control_;      ///< payload of a control frame as far as it came
};

}  // namespace sluice
