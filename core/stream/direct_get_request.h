// The body of a direct get and of STREAM.MSG.GET (ADR-31).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"
#include "store/stream_store.h"
#include "stream/unknown_keys.h"

namespace sluice {

struct DirectGetRequest {
  uint64_t seq = 0;
  std::string last_by_subj;
  std::string next_by_subj;
  std::optional<WallNanos> start_time;
  uint64_t batch = 0;
  int64_t max_bytes = 0;  ///< 0 = the server's bound; below 0 nothing follows the first message
  std::vector<std::string> multi_last;
  uint64_t up_to_seq = 0;
  std::optional<WallNanos> up_to_time;
  bool no_hdr = false;

  bool is_empty() const {
    return seq == 0 && last_by_subj.empty() && next_by_subj.empty() && !start_time &&
           multi_last.empty();
  }
  bool is_series() const { return batch > 0 || !multi_last.empty(); }
};

/// 10025 when it is no JSON, a type is wrong or, unless they are to be ignored, a key is unknown.
Result<DirectGetRequest> parse_direct_get(std::string_view body, UnknownKeys unknown);
/// No body, or an object without keys: what DIRECT.GET.<stream>.<subject> allows.
bool is_empty_direct_get(std::string_view body);
/// The one message that a plain (no series) request asks for.
std::optional<StoredMessage> look_up_message(StreamStore& store, const DirectGetRequest& request);
/// False for combinations that exclude each other.
bool is_legal_direct_get(const DirectGetRequest& request);

}  // namespace sluice
