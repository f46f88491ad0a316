// The headers of a publish that the stream itself understands, found in one pass.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

/// Views into the header block. An absent header and one with an empty value are the same here, as
/// in the reference. Names are case-sensitive; the first of a name wins.
struct PublishHeaders {
  std::string_view msg_id;
  std::string_view expected_stream;
  std::string_view expected_last_seq;
  std::string_view expected_last_subject_seq;
  std::string_view expected_last_subject_seq_subject;
  std::string_view expected_last_msg_id;
  std::string_view rollup;
  std::string_view ttl;
  std::string_view counter;          ///< Nats-Incr (ADR-49)
  std::string_view counter_sources;  ///< written by the server only
  std::string_view stream_source;    ///< written by the server only
  std::string_view batch_id;         ///< atomic batch (ADR-50)
  std::string_view batch_seq;
  std::string_view batch_commit;
  std::string_view required_api_level;
  std::string_view schedule;  ///< a schedule (ADR-51) and what belongs to it
  std::string_view schedule_target;
  std::string_view schedule_source;
  std::string_view schedule_ttl;
  std::string_view schedule_rollup;
  std::string_view schedule_time_zone;
  std::string_view scheduler;  ///< on what a schedule produced: its subject
  std::string_view schedule_next;
  bool asks = false;  ///< any field of the server is there
  /// The block can't be stored as it is: it has a status line or a header that the server strips.
  bool needs_rewrite = false;
};

PublishHeaders parse_publish_headers(std::string_view block);

/// Of a message without headers, as most are.
inline constexpr PublishHeaders kNoPublishHeaders{};

enum class Rollup : uint8_t { kNone, kSubject, kAll, kInvalid };
Rollup parse_rollup(std::string_view value);

}  // namespace sluice
