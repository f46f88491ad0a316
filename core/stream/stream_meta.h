// What a stream keeps about itself in the store, as JSON: {"config":{…},"created":"…"}.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time_format.h"
#include "stream/stream_config.h"

namespace sluice {

struct StreamMeta {
  StreamConfig config;  ///< normalised
  WallNanos created = 0;
};

std::string stream_meta_json(const StreamConfig& config, WallNanos created);
Result<StreamMeta> parse_stream_meta(std::string_view json);

}  // namespace sluice
