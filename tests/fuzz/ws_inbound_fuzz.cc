// Bytes of a WebSocket peer: the first chooses the rules and where the rest is cut. What comes out
// must not depend on the cuts, and a compressed message must stay within its bounds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "websocket/ws_inbound.h"

namespace {

using sluice::WsInbound;

constexpr size_t kMaxMessage_bytes = 4096;

struct Outcome {
  WsInbound::Events events;
  bool failed = false;
};

Outcome feed(std::string_view bytes, uint8_t choice, size_t step, sluice::WsDeflate& codec) {
  WsInbound inbound({.masked = (choice & 1) != 0,
                     .may_be_unmasked = (choice & 2) != 0,
                     .deflate = (choice & 4) != 0,
                     .max_message_bytes = kMaxMessage_bytes,
                     .max_compressed_bytes = 1024},
                    &codec);
  Outcome outcome;
  while (!bytes.empty() && !outcome.failed && !outcome.events.close) {
    const std::string_view part = bytes.substr(0, step);
    bytes.remove_prefix(part.size());
    outcome.failed = inbound.feed(part, outcome.events).has_value();
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static sluice::WsDeflate codec;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = feed(bytes, data[0], size, codec);
  const Outcome cut = feed(bytes, data[0], 1 + (data[0] >> 3), codec);
  if (whole.failed != cut.failed || whole.events.data != cut.events.data) std::abort();
  if (whole.events.data.size() > size * kMaxMessage_bytes) std::abort();
  return 0;
}
