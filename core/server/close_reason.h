// Why a connection ended, in the words of nats-server's connz and disconnect events.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

enum class CloseReason : uint8_t {
  kClientClosed,
  kAuthenticationTimeout,
  kAuthenticationFailure,
  kTlsHandshakeFailure,
  kSlowConsumerPendingBytes,
  kSlowConsumerWriteDeadline,
  kReadError,
  kParseError,
  kStaleConnection,
  kProtocolViolation,
  kBadClientProtocolVersion,
  kMaxConnections,
  kMaxAccountConnections,
  kMaxSubscriptions,
  kAuthenticationExpired,
  kMissingAccount,
  kRevoked,
  kKicked,
  kMaxPayload,
  kMaxControlLine,
  kServerShutdown,
  kNoRespondersRequiresHeaders,
};

std::string_view to_string(CloseReason reason);

/// The close code that tells a WebSocket client of it (RFC 6455, section 7.4.1).
uint16_t websocket_close_code(CloseReason reason);

}  // namespace sluice
