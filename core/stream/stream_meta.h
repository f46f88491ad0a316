// What a stream keeps about itself in the store, as JSON: {"config":{…},"created":"…"[,"positions":{…}]}.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time_format.h"
#include "stream/source_positions.h"
#include "stream/stream_config.h"

namespace sluice {

struct StreamMeta {
  StreamConfig config;  ///< normalised
  WallNanos created = 0;
  SourcePositions positions;
  bool restoring = false;  ///< half rebuilt from a backup: removed at start
};

std::string stream_meta_json(const StreamConfig& config, WallNanos created,
                             const SourcePositions& positions = {});
Result<StreamMeta> parse_stream_meta(std::string_view json);

}  // namespace sluice
