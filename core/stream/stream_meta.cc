#include "stream/stream_meta.h"

#include <array>

#include <fmt/format.h>

#include "stream/json_object.h"

namespace sluice {

namespace {

Status read_position(const JsonElement& from, SourcePositions::Map& out) {
  std::string key;
  SourcePosition position;
  const std::array fields{JsonField::into("key", key), JsonField::into("seq", position.seq),
                          JsonField::into("identity", position.identity)};
  if (auto status = read_json_object(from, fields); !status) return status;
  out[key] = std::move(position);
  return {};
}

Status read_positions(const JsonElement& from, SourcePositions& out) {
  uint64_t at = 0;
  SourcePositions::Map map;
  const auto sources = [&map](const JsonElement& e) -> Status {
    simdjson::dom::array elements;
    if (e.get_array().get(elements) != simdjson::SUCCESS) return bad_json("positions");
    for (const JsonElement element : elements)
      if (auto status = read_position(element, map); !status) return status;
    return {};
  };
  const std::array fields{JsonField::into("at", at), JsonField{"sources", sources}};
  if (auto status = read_json_object(from, fields); !status) return status;
  out.restore(std::move(map), StreamSeq(at));
  return {};
}

}  // namespace

std::string stream_meta_json(const StreamConfig& config, WallNanos created,
                             const SourcePositions& positions) {
  std::string out = fmt::format(R"({{"config":{},"created":"{}")", stream_config_json(config, nullptr),
                                format_rfc3339(created));
  if (!positions.empty()) out += fmt::format(R"(,"positions":{})", positions.json());
  return out + "}";
}

Result<StreamMeta> parse_stream_meta(std::string_view json) {
  StreamMeta meta;
  std::string config_text;
  const std::array fields{
      JsonField{"config",
                [&config_text](const JsonElement& from) -> Status {
                  config_text = simdjson::minify(from);
                  return {};
                }},
      JsonField{"created",
                [&meta](const JsonElement& from) { return read_json_time(from, meta.created); }},
      JsonField::into("restoring", meta.restoring),
      JsonField{"positions",
                [&meta](const JsonElement& from) { return read_positions(from, meta.positions); }},
  };
  if (auto status = parse_json_object(json, fields); !status)
    return std::unexpected(status.error());
  auto request = parse_stream_request(config_text);
  if (!request) return std::unexpected(request.error());
  meta.config = std::move(request->config);
  if (auto status = check_subject_mappings(meta.config, false); !status)
    return std::unexpected(status.error());
  return meta;
}

}  // namespace sluice
