// StreamInfo: what the API, advisories and monitoring show of a stream.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stream/stream.h"
#include "stream/stream_config.h"

namespace sluice {

using SubjectCounts = std::vector<std::pair<std::string, uint64_t>>;

struct StreamInfoShown {
  uint64_t consumer_count = 0;
  const ServerMetadata* server = nullptr;  ///< adds `_nats.ver` and `_nats.level` to the config
  std::string_view domain;                 ///< empty = left out
  std::string_view leader;                 ///< adds `cluster`; empty = left out
  bool deleted_details = false;            ///< adds the list of deleted sequences
  const SubjectCounts* subjects = nullptr; ///< adds `subjects`
};

/// The members `"config":…,"created":…,"state":…[,"domain"…][,"cluster"…],"ts":…` without braces, in
/// the reference's order. `now` becomes `ts`.
std::string stream_info_members(Stream& stream, const StreamInfoShown& shown, WallNanos now);
/// The `state` object alone.
std::string stream_state_json(Stream& stream, const StreamInfoShown& shown);

}  // namespace sluice
