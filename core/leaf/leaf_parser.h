// The leaf node protocol of nats-server, both directions: bytes → operations, and messages → bytes.
// Pure. What a read has split is kept and joined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/limits.h"

namespace sluice {

enum class LeafOpKind : uint8_t {
  kInfo,
  kConnect,
  kSubscribe,    ///< LS+
  kUnsubscribe,  ///< LS-
  kMessage,      ///< LMSG, HMSG
  kPing,
  kPong,
  kError,
};

/// Views are good until the next call of the parser.
struct LeafOp {
  LeafOpKind kind = LeafOpKind::kPing;
  std::string_view subject;
  std::string_view queue;   ///< of LS±
  uint32_t weight = 1;      ///< of LS+ with a queue: members of the group over there
  std::string_view reply;   ///< "" = none
  std::vector<std::string_view> queues;  ///< groups the message is for, besides plain subscribers
  std::string_view header;
  std::string_view payload;
  std::string_view text;  ///< INFO, CONNECT: the JSON; -ERR: the words without quotes
};

class LeafParser {
 public:
  explicit LeafParser(size_t max_payload_bytes) : max_payload_bytes_(max_payload_bytes) {}

  void feed(std::string_view bytes);
  /// @return true and fills `op`, or false when more bytes are needed. kCorrupt when they are not
  ///   the protocol, kFull when a line or a payload is too large.
  Result<bool> next(LeafOp& op);
  /// Bytes held for what has not come whole.
  size_t held_bytes() const { return buffer_.size() - read_; }

 private:
  Result<bool> read_line(std::string_view line, size_t line_end, LeafOp& op);
  Result<bool> read_message(std::string_view args, bool with_header, size_t line_end, LeafOp& op);

  /// Sixteen times a client's line, as links between servers have it.
  static constexpr size_t kMaxLine_bytes = 16 * kDefaultMaxControlLine_bytes;

  std::string buffer_;
  size_t read_ = 0;  ///< bytes of buffer_ already told
  size_t max_payload_bytes_;
};

/// LMSG, or HMSG when `header` is not empty.
void append_leaf_message(std::string& out, std::string_view subject, std::string_view reply,
                         std::span<const std::string_view> queues, std::string_view header,
                         std::string_view payload);
/// LS+ <subject>, or with a queue LS+ <subject> <queue> <weight>.
void append_leaf_subscribe(std::string& out, std::string_view subject, std::string_view queue,
                           uint32_t weight);
void append_leaf_unsubscribe(std::string& out, std::string_view subject, std::string_view queue);

}  // namespace sluice
