// Bytes of a client → operations. Pure: knows no socket.
//
// Fields are views into the fed bytes; only what a read has split is copied, once, into a buffer
// of the parser. The result does not depend on where the bytes are split. The grammar is that of
// the NATS client protocol, as nats-server 2.15 reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "wire/operation.h"

namespace sluice {

/// May be changed between two operations, from within the sink too.
struct WireLimits {
  size_t max_control_line =
      kDefaultMaxControlLine_bytes;               ///< bytes of the arguments, the verb not counted
  size_t max_payload = kDefaultMaxPayload_bytes;  ///< bytes, headers included
  bool headers = false;                           ///< HPUB is allowed
  bool connect_first = false;                     ///< the next operation must be CONNECT
};

/// One for each connection.
class Parser {
 public:
  explicit Parser(const WireLimits& limits = {}) : limits_(limits) {}

  WireLimits& limits() { return limits_; }

  /// Takes all of `bytes` and calls the sink for each whole operation:
  ///
  ///   bool on_connect(std::string_view json);   // not looked into
  ///   bool on_pub(const PubOp&);
  ///   bool on_sub(const SubOp&);
  ///   bool on_unsub(const UnsubOp&);
  ///   bool on_ping();
  ///   bool on_pong();
  ///   void on_error(WireError);                 // at most once, then feed() returns false
  ///   void on_oversized(const PubOp&, size_t);  // if there: before kPayloadTooLarge, when the
  ///                                             // headers have come; bytes of the whole message
  ///
  /// A sink that returns false ends the call at once and may have destroyed the parser; what was not
  /// looked at is in `*rest` then. When the parser lives it may be fed with that later.
  /// @return false when it ended so, or by an error; after that it must not be fed again.
  template <class Sink>
  bool feed(std::string_view bytes, Sink& sink, std::string_view* rest = nullptr) {
    Operation op;
    while (next(bytes, op)) {
      if (op.kind == Kind::kError) {
        if constexpr (requires { sink.on_oversized(op.pub, op.size); }) {
          if (op.error == WireError::kPayloadTooLarge && op.pub.header_bytes > 0)
            sink.on_oversized(op.pub, op.size);
        }
        sink.on_error(op.error);
        return false;
      }
      if (tell(op, sink)) continue;
      if (rest != nullptr) *rest = bytes;
      return false;
    }
    return true;
  }

  /// Bytes held for an operation whose rest has not come yet.
  size_t gathered_bytes() const { return gather_.size(); }

 private:
  enum class Kind : uint8_t { kConnect, kPub, kSub, kUnsub, kPing, kPong, kIgnored, kError };

  struct Operation {
    Kind kind = Kind::kIgnored;
    WireError error = WireError::kUnknownOperation;
    PubOp pub;
    size_t size = 0;  ///< of a message that is too large
    SubOp sub;
    UnsubOp unsub;
    std::string_view json;
  };

  /// A control line whose payload has not come whole; places are offsets in gather_.
  struct PendingPub {
    size_t subject_at = 0, subject_bytes = 0;
    size_t reply_at = 0, reply_bytes = 0;
    size_t header_bytes = 0;
    size_t message_at = 0, message_bytes = 0;
  };

  template <class Sink>
  static bool tell(const Operation& op, Sink& sink) {
    switch (op.kind) {
      case Kind::kPub:
        return sink.on_pub(op.pub);
      case Kind::kSub:
        return sink.on_sub(op.sub);
      case Kind::kUnsub:
        return sink.on_unsub(op.unsub);
      case Kind::kPing:
        return sink.on_ping();
      case Kind::kPong:
        return sink.on_pong();
      case Kind::kConnect:
        return sink.on_connect(op.json);
      case Kind::kIgnored:
      case Kind::kError:
        break;
    }
    return true;
  }

  bool next(std::string_view& bytes, Operation& op);
  bool fail(WireError error, Operation& op);
  bool next_pub_fast(std::string_view& bytes, Operation& op);
  bool gather_line(std::string_view& bytes, Operation& op, std::string_view& line);
  bool gather_payload(std::string_view& bytes, Operation& op);
  bool read_line(std::string_view line, std::string_view& bytes, Operation& op);
  bool read_pub(std::string_view line, std::string_view args, bool with_header,
                std::string_view& bytes, Operation& op);
  bool take_message(std::string_view line, size_t size, std::string_view& bytes, Operation& op);

  WireLimits limits_;
  std::string gather_;
  bool in_payload_ = false;  ///< gather_ holds pending_'s line and the message as far as it came
  bool spent_ = false;       ///< gather_ holds only what has been told
  PendingPub pending_;
};

}  // namespace sluice
