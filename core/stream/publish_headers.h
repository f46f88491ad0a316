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
  bool has_counter = false;
  bool has_batch = false;
  bool has_schedule = false;
  bool has_stream_source = false;
  /// The block can't be stored as it is: it has a status line or a header that the server strips.
  bool needs_rewrite = false;
};

PublishHeaders parse_publish_headers(std::string_view block);

enum class Rollup : uint8_t { kNone, kSubject, kAll, kInvalid };
Rollup parse_rollup(std::string_view value);

}  // namespace sluice
