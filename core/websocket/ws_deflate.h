// permessage-deflate (RFC 7692) without context take-over: every message stands alone, so one codec
// serves all connections of a loop and an idle connection keeps none of zlib's memory.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

class WsDeflate {
 public:
  WsDeflate();
  ~WsDeflate();
  WsDeflate(const WsDeflate&) = delete;
  WsDeflate& operator=(const WsDeflate&) = delete;

  /// Appends the compressed message, its "00 00 ff ff" cut off.
  void deflate(std::string_view message, std::string& out);
  /// Appends the message. kFull above `max_bytes` (what came until then is not appended), kCorrupt
  /// when the bytes are no deflate stream.
  Status inflate(std::string_view compressed, size_t max_bytes, std::string& out);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice
