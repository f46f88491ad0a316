// STREAM.SNAPSHOT and STREAM.RESTORE: what is asked and answered; core/backup moves the bytes.
#include <array>

#include <fmt/format.h>

#include "api/advisory.h"
#include "api/api_request.h"
#include "api/stream_verbs.h"
#include "backup/backups.h"
#include "base/api_error.h"
#include "consumer/consumers.h"
#include "stream/pub_ack.h"
#include "stream/stream_info.h"
#include "subject/subject.h"

namespace sluice::verbs {
namespace {

Result<SnapshotRequest> decode_snapshot(std::string_view body, UnknownKeys unknown) {
  SnapshotRequest out;
  bool verify = false;  // every record is verified when it is read
  int64_t chunk = 0;
  int64_t window = 0;
  const std::array fields{JsonField::into("deliver_subject", out.deliver_subject),
                          JsonField::into("no_consumers", out.no_consumers),
                          JsonField::into("chunk_size", chunk), JsonField::into("window_size", window),
                          JsonField::into("jsck", verify)};
  if (auto status = parse_json_object(body, fields, unknown); !status) return std::unexpected(status.error());
  out.chunk_size = chunk > 0 ? static_cast<uint64_t>(chunk) : 0;
  out.window_size = window > 0 ? static_cast<uint64_t>(window) : 0;
  return out;
}

/// Of a StreamState that a client sends along; the archive has its own.
Status ignore_member(const JsonElement&) { return {}; }

Result<StreamConfig> decode_restore(ApiContext& context, const ApiCall& call) {
  std::string text;
  const std::array fields{JsonField{"config",
                                    [&text](const JsonElement& e) -> Status {
                                      text = simdjson::minify(e);
                                      return {};
                                    }},
                          JsonField{"state", ignore_member}};
  if (auto status = parse_json_object(call.body, fields, context.options.unknown_keys); !status) return std::unexpected(status.error());
  if (text.empty()) return fail_api(Errc::kInvalidArgument, 10003, "");
  auto request = parse_stream_request(text, context.options.unknown_keys);
  if (!request) return std::unexpected(request.error());
  if (request->config.name != call.token[0]) return fail_api(Errc::kInvalidArgument, 10056, "");
  return check_stream_config(*request, context.options.max_duplicate_window, [&context](std::string_view name) {
    Stream* found = context.streams.find(name);
    return found == nullptr ? nullptr : &found->config();
  });
}

std::string times_json(WallNanos begun, WallNanos ended) {
  return fmt::format(R"("start":"{}","end":"{}")", format_rfc3339(begun), format_rfc3339(ended));
}

void snapshot_ended(ApiContext& context, std::string_view stream, WallNanos begun, const Status& status) {
  std::string members =
      fmt::format(R"("stream":{},{})", json_quoted(stream), times_json(begun, context.env.clock.wall()));
  if (!status) members += fmt::format(R"(,"error":{})", json_quoted(status.error().detail));
  publish_advisory(context, fmt::format("STREAM.SNAPSHOT_COMPLETE.{}", stream), "snapshot_complete", members);
}

/// The last answer of a restore is that of a create.
std::string restore_ended(ApiContext& context, std::string_view name, const Result<Stream*>& made,
                          const RestoreFigures& figures) {
  publish_advisory(context, fmt::format("STREAM.RESTORE_COMPLETE.{}", name), "restore_complete",
                   fmt::format(R"("stream":{},{},"bytes":{})", json_quoted(name),
                               times_json(figures.begun, context.env.clock.wall()), figures.bytes));
  std::string out = R"({"type":"io.nats.jetstream.api.v1.stream_create_response",)";
  if (!made) return out + fmt::format(R"("error":{}}})", api_error_json(made.error()));
  const ServerMetadata server{context.options.version, context.options.api_level};
  return out + stream_info_members(**made,
                                   {.consumer_count = context.consumers.count(name),
                                    .server = &server,
                                    .domain = context.options.domain,
                                    .leader = {}},
                                   context.env.clock.wall()) +
         "}";
}

}  // namespace

ApiAnswer stream_snapshot(ApiContext& context, const ApiCall& call) {
  if (is_empty_request(call.body)) return ApiAnswer::failed(10003);
  const auto request = decode_snapshot(call.body, context.options.unknown_keys);
  if (!request) return ApiAnswer::failed(request.error());
  if (!is_valid_subject(request->deliver_subject) || has_wildcards(request->deliver_subject))
    return ApiAnswer::failed(10015);
  Stream* stream = context.streams.find(call.token[0]);
  if (stream == nullptr) return ApiAnswer::failed(10059);
  const std::string state =
      stream_state_json(*stream, {.consumer_count = context.consumers.count(call.token[0]), .domain = {}, .leader = {}});
  const WallNanos begun = context.env.clock.wall();
  auto started = context.backups.snapshot(
      *stream, *request, [&context, name = std::string(call.token[0]), begun](const Status& status) {
        snapshot_ended(context, name, begun, status);
      });
  if (!started) return ApiAnswer::failed(10064, started.error().detail);
  publish_advisory(context, fmt::format("STREAM.SNAPSHOT_CREATE.{}", call.token[0]), "snapshot_create",
                   fmt::format(R"("stream":{},"state":{})", json_quoted(call.token[0]), state));
  return ApiAnswer::ok(
      fmt::format(R"({{"config":{},"state":{}}})", stream_config_json(stream->config(), nullptr), state));
}

ApiAnswer stream_restore(ApiContext& context, const ApiCall& call) {
  const auto failed = [](Error error) { return ApiAnswer::failed(std::move(error), 10062); };
  if (is_empty_request(call.body)) return failed(Error{Errc::kInvalidArgument, 10003, {}});
  const auto config = decode_restore(context, call);
  if (!config) return failed(config.error());
  const auto subject = context.backups.restore(
      *config, [&context, name = config->name](const Result<Stream*>& made, const RestoreFigures& figures) {
        return restore_ended(context, name, made, figures);
      });
  if (!subject) return failed(subject.error());
  publish_advisory(context, fmt::format("STREAM.RESTORE_CREATE.{}", call.token[0]), "restore_create",
                   fmt::format(R"("stream":{})", json_quoted(call.token[0])));
  return ApiAnswer::ok(fmt::format(R"({{"deliver_subject":{}}})", json_quoted(*subject)));
}

}  // namespace sluice::verbs
