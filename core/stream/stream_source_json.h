// Decoding of `mirror` and `sources[]`. For .cc files only (brings the JSON library in).
#pragma once

#include <optional>
#include <vector>

#include "stream/json_object.h"
#include "stream/stream_source.h"

namespace sluice {

/// One StreamSource object; 10025.
Status read_stream_source(const JsonElement& from, StreamSource& out, UnknownKeys unknown);
JsonField mirror_field(std::optional<StreamSource>& out, UnknownKeys unknown);
JsonField sources_field(std::vector<StreamSource>& out, UnknownKeys unknown);

}  // namespace sluice
