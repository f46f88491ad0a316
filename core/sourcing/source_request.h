// What a mirror or source asks of its origin, and what the origin answers. Pure.
// Source: ADR-59 and ADR-60; the bytes are held against what nats-server 2.15 sends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time_format.h"
#include "stream/stream_source.h"

namespace sluice {

enum class CopyKind : uint8_t { kMirror, kSource };

/// Origins of older versions know less: each step down asks for less.
enum class OriginLevel : uint8_t { kIdentity, kSourcing, kPlain };

/// Where the copying goes on.
struct CopyStart {
  uint64_t seq = 0;  ///< 0 = not by sequence
  std::optional<WallNanos> time;
};

struct OriginRequest {
  std::string subject;
  std::string headers;
  std::string body;
};

/// The copying stream as its origin sees it.
struct CopyTarget {
  CopyKind kind = CopyKind::kMirror;
  std::string stream;
  std::string account;
  std::string domain;         ///< empty = none
  std::string consumer_name;  ///< "JS_MIRROR_<8>", "JS_SRC_<8>"
};

/// CONSUMER.CREATE for a push consumer to `deliver`.
OriginRequest create_request(const CopyTarget& target, const StreamSource& source, std::string_view api,
                             std::string_view deliver, const CopyStart& start, std::string_view identity,
                             OriginLevel level);
/// CONSUMER.RESET of the operator's own consumer (ADR-60), to go on at `seq` (≥ 1).
OriginRequest reset_request(const StreamSource& source, std::string_view api, uint64_t seq);
/// Subject of the CONSUMER.DELETE that ends the copying.
std::string delete_subject(const CopyTarget& target, const StreamSource& source, std::string_view api);

struct OriginAnswer {
  std::string consumer;         ///< its name, as ack subjects show it
  std::string deliver_subject;
  std::string ack_policy;
  std::string identity;         ///< of the origin stream; empty = it does not tell
  uint64_t num_pending = 0;
};
/// @return the origin's own error, with its api_code and text; kCorrupt for what is no answer at all;
///   kNoResponders for a 503 status.
Result<OriginAnswer> parse_origin_answer(std::string_view headers, std::string_view body);

/// "<origin>[:<hash of external.api>]"
std::string source_label(const StreamSource& source);
/// What tells two sources of one stream apart: SourceHeader::key.
std::string source_key(const StreamSource& source);
/// The value of Nats-Stream-Source.
std::string source_header(const StreamSource& source, uint64_t seq, std::string_view subject,
                          std::string_view identity);

}  // namespace sluice
