// WebSocket frames (RFC 6455, section 5) ↔ bytes. Pure. The parsing and masking is wslay's frame API:
// its event API refuses the unmasked frames that the Nats-No-Masking extension allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace sluice {

enum class WsOpcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

/// A frame, or the part of one that has come.
struct WsFramePart {
  WsOpcode opcode = WsOpcode::kBinary;  ///< other values than those named never appear
  bool fin = false;
  bool rsv1 = false;
  bool masked = false;
  bool begins = false;   ///< the frame's first part…
  bool ends = false;     ///< …and its last
  std::string_view data; ///< unmasked; good until the next call
};

class WsFrameReader {
 public:
  enum class Outcome : uint8_t {
    kPart,
    kMore,    ///< all fed bytes are used
    kBroken,  ///< no frame of the protocol; nothing can be read any more
  };

  WsFrameReader();
  ~WsFrameReader();
  WsFrameReader(const WsFrameReader&) = delete;
  WsFrameReader& operator=(const WsFrameReader&) = delete;

  /// The bytes must live until next() has told kMore; then they may be gone.
  void feed(std::string_view bytes);
  Outcome next(WsFramePart& part);

 private:
  class State;
  std::unique_ptr<State> state_;
};

struct WsFrameHeader {
  WsOpcode opcode = WsOpcode::kBinary;
  bool fin = true;
  bool rsv1 = false;
};

/// Appends one unmasked frame.
void append_ws_frame(std::string& out, const WsFrameHeader& header, std::string_view payload);
/// Appends one masked with `key`.
void append_masked_ws_frame(std::string& out, const WsFrameHeader& header, std::string_view payload,
                            uint32_t key);

}  // namespace sluice
