#include "stream/stream_meta.h"

#include <array>

#include <fmt/format.h>

#include "stream/json_object.h"

namespace sluice {

std::string stream_meta_json(const StreamConfig& config, WallNanos created) {
  return fmt::format(R"({{"config":{},"created":"{}"}})", stream_config_json(config, nullptr),
                     format_rfc3339(created));
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
  };
  if (auto status = parse_json_object(json, fields); !status)
    return std::unexpected(status.error());
  auto request = parse_stream_request(config_text);
  if (!request) return std::unexpected(request.error());
  if (!request->unsupported.empty())
    return fail(Errc::kUnsupported, request->unsupported);
  meta.config = std::move(request->config);
  if (auto status = check_subject_mappings(meta.config, false); !status)
    return std::unexpected(status.error());
  return meta;
}

}  // namespace sluice
