// The reply subject of a delivered message, and what clients send to it.
// Source: ADR-15 (ack subjects), the public JetStream protocol documents (ack bodies).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/time_format.h"
#include "consumer/ack_digits.h"

namespace sluice {

/// What the ack subject tells about one delivery.
struct DeliveryMeta {
  uint64_t deliveries = 1;
  StreamSeq stream_seq;
  ConsumerSeq consumer_seq;
  WallNanos time = 0;
  uint64_t num_pending = 0;
};

/// Writes `$JS.ACK.<stream>.<consumer>.<deliveries>.<sseq>.<cseq>.<time>.<pending>` into one buffer
/// again and again, and reads what comes back.
class AckSubject {
 public:
  AckSubject(std::string_view stream, std::string_view consumer);
  /// Valid until the next call.
  std::string_view format(const DeliveryMeta& meta);
  /// As parse_ack_subject(), quicker for what format() wrote.
  std::optional<DeliveryMeta> parse(std::string_view subject) const;
  std::string_view prefix() const { return std::string_view(buffer_).substr(0, prefix_); }

 private:
  char* put_time(char* at, WallNanos time);

  std::string buffer_;
  size_t prefix_;
  SteppingNumber deliveries_;
  SteppingNumber stream_seq_;
  SteppingNumber consumer_seq_;
  SteppingNumber second_;
  SteppingNumber num_pending_;
};

/// Reads both forms: 9 tokens, or 11 and more with domain and account hash. nullopt when malformed.
std::optional<DeliveryMeta> parse_ack_subject(std::string_view subject);

enum class AckVerb : uint8_t { kAck, kNak, kProgress, kNext, kTerm, kUnknown };

struct AckBody {
  AckVerb verb = AckVerb::kUnknown;
  std::optional<std::chrono::nanoseconds> delay;  ///< -NAK
  std::string_view rest;                          ///< +NXT: the pull; +TERM: the reason
};

/// Views into `body`. A delay that can't be read counts as none.
AckBody parse_ack_body(std::string_view body);

}  // namespace sluice
