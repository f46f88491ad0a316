// Bytes of a server → events: the client's side of the protocol, for the spool and for simulated
// clients. Small rather than fast: what a read has split is kept and joined.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/limits.h"

namespace sluice {

enum class ServerEventKind : uint8_t { kInfo, kMsg, kPing, kPong, kOk, kErr };

/// One operation of the server. Views are good until the next call of the parser.
struct ServerEvent {
  ServerEventKind kind = ServerEventKind::kPing;
  std::string_view subject;
  std::string_view sid;
  std::string_view reply;   ///< "" = none
  std::string_view header;  ///< "" for MSG
  std::string_view payload;
  std::string_view text;  ///< INFO: the JSON; -ERR: the text without quotes
};

class ClientParser {
 public:
  /// @param max_message_bytes header and payload of one message at most; more is kCorrupt.
  explicit ClientParser(size_t max_message_bytes = kMaxRecord_bytes)
      : max_message_bytes_(max_message_bytes) {}

  void feed(std::string_view bytes);
  /// @return true and fills `event`, or false when more bytes are needed. kCorrupt when the bytes
  /// are no
  ///   NATS protocol: nothing can be read any more.
  Result<bool> next(ServerEvent& event);

 private:
  Result<bool> read_message(std::string_view args, bool with_header, size_t line_end,
                            ServerEvent& event);

  std::string buffer_;
  size_t read_ = 0;  ///< bytes of buffer_ already told
  size_t max_message_bytes_;
};

}  // namespace sluice
