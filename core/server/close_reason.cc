#include "server/close_reason.h"

namespace sluice {

std::string_view to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClientClosed:
      return "Client Closed";
    case CloseReason::kAuthenticationTimeout:
      return "Authentication Timeout";
    case CloseReason::kAuthenticationFailure:
      return "Authentication Failure";
    case CloseReason::kTlsHandshakeFailure:
      return "TLS Handshake Failure";
    case CloseReason::kSlowConsumerPendingBytes:
      return "Slow Consumer (Pending Bytes)";
    case CloseReason::kSlowConsumerWriteDeadline:
      return "Slow Consumer (Write Deadline)";
    case CloseReason::kReadError:
      return "Read Error";
    case CloseReason::kParseError:
      return "Parse Error";
    case CloseReason::kStaleConnection:
      return "Stale Connection";
    case CloseReason::kProtocolViolation:
      return "Protocol Violation";
    case CloseReason::kBadClientProtocolVersion:
      return "Bad Client Protocol Version";
    case CloseReason::kMaxConnections:
      return "Maximum Connections Exceeded";
    case CloseReason::kMaxAccountConnections:
      return "Maximum Account Connections Exceeded";
    case CloseReason::kMaxSubscriptions:
      return "Maximum Subscriptions Exceeded";
    case CloseReason::kAuthenticationExpired:
      return "Authentication Expired";
    case CloseReason::kMissingAccount:
      return "Missing Account";
    case CloseReason::kRevoked:
      return "Credentials Revoked";
    case CloseReason::kKicked:
      return "Kicked";
    case CloseReason::kMaxPayload:
      return "Maximum Message Payload Exceeded";
    case CloseReason::kMaxControlLine:
      return "Maximum Control Line Exceeded";
    case CloseReason::kServerShutdown:
      return "Server Shutdown";
    case CloseReason::kNoRespondersRequiresHeaders:
      return "No Responders Requires Headers";
  }
  return "Unknown State";
}

uint16_t websocket_close_code(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClientClosed:
      return 1000;
    case CloseReason::kReadError:
    case CloseReason::kStaleConnection:
    case CloseReason::kServerShutdown:
      return 1001;
    case CloseReason::kParseError:
    case CloseReason::kProtocolViolation:
    case CloseReason::kBadClientProtocolVersion:
      return 1002;
    case CloseReason::kAuthenticationTimeout:
    case CloseReason::kAuthenticationFailure:
    case CloseReason::kSlowConsumerPendingBytes:
    case CloseReason::kSlowConsumerWriteDeadline:
    case CloseReason::kMaxConnections:
    case CloseReason::kMaxAccountConnections:
    case CloseReason::kMaxSubscriptions:
    case CloseReason::kAuthenticationExpired:
    case CloseReason::kMissingAccount:
    case CloseReason::kRevoked:
    case CloseReason::kMaxControlLine:
      return 1008;
    case CloseReason::kMaxPayload:
      return 1009;
    case CloseReason::kTlsHandshakeFailure:
      return 1015;
    case CloseReason::kKicked:
    case CloseReason::kNoRespondersRequiresHeaders:
      break;
  }
  return 1011;
}

}  // namespace sluice
