// What a client asks for, one operation at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

/// A PUB or HPUB. Views are good until the sink returns.
struct PubOp {
  std::string_view subject;
  std::string_view reply;    ///< "" = none
  std::string_view message;  ///< header block, then payload, in one piece
  size_t header_bytes = 0;   ///< 0 for PUB
  std::string_view header() const { return message.substr(0, header_bytes); }
  std::string_view payload() const { return message.substr(header_bytes); }
};

struct SubOp {
  std::string_view subject;
  std::string_view queue;  ///< "" = none
  std::string_view sid;
};

struct UnsubOp {
  std::string_view sid;
  uint64_t max = 0;  ///< deliveries since SUB after which the subscription ends; 0 = now
};

/// Why the parser gave up. The connection must be closed in every case.
enum class WireError : uint8_t {
  kUnknownOperation,
  kControlLineTooLong,
  kPayloadTooLarge,
  kNotConnect,    ///< something other than CONNECT came first, and WireLimits asked for it
  kBadArguments,  ///< wrong count or size, HPUB without header support
  kPeerError,     ///< the client sent -ERR
};

/// The text of the -ERR that goes out before the close; "" = close silently.
std::string_view error_text(WireError error);

}  // namespace sluice
