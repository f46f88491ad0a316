// STREAM.CREATE, UPDATE, DELETE, PURGE, and what one server answers to cluster calls.
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "api/advisory.h"
#include "api/api_request.h"
#include "api/stream_verbs.h"
#include "consumer/consumer.h"
#include "consumer/consumers.h"
#include "stream/stream_info.h"

namespace sluice::verbs {
namespace {

std::string info_members(ApiContext& context, Stream& stream, std::string_view domain) {
  const ServerMetadata server{context.options.version, context.options.api_level};
  return stream_info_members(stream,
                             {.consumer_count = context.consumers.count(stream.config().name),
                              .server = &server,
                              .domain = domain,
                              .leader = {}},
                             context.env.clock.wall());
}

/// An empty body is a configuration without a name.
Result<StreamRequest> decode(const ApiContext& context, const ApiCall& call) {
  if (call.body.empty()) return StreamRequest{};
  return parse_stream_request(call.body, context.options.unknown_keys);
}

Status check_name(const StreamConfig& config, const ApiCall& call) {
  if (config.name != call.token[0]) return fail_api(Errc::kInvalidArgument, 10056, "");
  if (config.name.find_first_of("/\\") != std::string::npos) return fail_api(Errc::kInvalidArgument, 10128, "");
  return {};
}

StreamLookup lookup_in(Streams& streams) {
  return [&streams](std::string_view name) {
    Stream* found = streams.find(name);
    return found == nullptr ? nullptr : &found->config();
  };
}

Result<Stream*> create(ApiContext& context, const ApiCall& call) {
  const auto request = decode(context, call);
  if (!request) return std::unexpected(request.error());
  if (auto named = check_name(request->config, call); !named) return std::unexpected(named.error());
  if (request->config.sealed)
    return fail_api(Errc::kInvalidArgument, 10052,
                    "stream configuration for create can not be sealed");
  if (request->config.mirror_direct && !request->config.mirror)
    return fail_api(Errc::kInvalidArgument, 10052,
                    "stream has no mirror but does have mirror direct");
  const auto config = check_stream_config(*request, context.options.max_duplicate_window,
                                          lookup_in(context.streams));
  if (!config) return std::unexpected(config.error());
  return context.streams.create(*config);
}

/// Consumers whose own values are above what `limits` would allow, as "k,l".
std::string violated_by(ApiContext& context, std::string_view stream, const ConsumerLimits& limits) {
  std::string names;
  context.consumers.each(stream, [&](Consumer& consumer) {
    const ConsumerConfig& c = consumer.config();
    const bool inactive = limits.inactive_threshold.count() > 0 &&
                          c.inactive_threshold > limits.inactive_threshold;
    const bool pending = limits.max_ack_pending > 0 && c.max_ack_pending > limits.max_ack_pending;
    if (!inactive && !pending) return;
    if (!names.empty()) names += ',';
    names += consumer.name();
  });
  return names;
}

Result<Stream*> update(ApiContext& context, const ApiCall& call) {
  const auto request = decode(context, call);
  if (!request) return std::unexpected(request.error());
  const auto config = check_stream_config(*request, context.options.max_duplicate_window,
                                          lookup_in(context.streams));
  if (!config) return std::unexpected(config.error());
  if (auto named = check_name(request->config, call); !named) return std::unexpected(named.error());
  if (context.streams.find(config->name) == nullptr) return fail_api(Errc::kNotFound, 10059, "");
  if (auto names = violated_by(context, config->name, config->consumer_limits); !names.empty())
    return fail_api(Errc::kInvalidArgument, 10069,
                    fmt::format("change to limits violates consumers: {}", names));
  return context.streams.update(*config);
}

}  // namespace

ApiAnswer stream_create(ApiContext& context, const ApiCall& call) {
  const bool existed = context.streams.find(call.token[0]) != nullptr;
  const auto stream = create(context, call);
  if (!stream) return ApiAnswer::failed(stream.error(), 10049);
  if (!existed) advise_stream(context, call.token[0], AssetAction::kCreate);
  return ApiAnswer::ok(fmt::format(R"({{{},"did_create":true}})", info_members(context, **stream, {})));
}

ApiAnswer stream_update(ApiContext& context, const ApiCall& call) {
  const auto stream = update(context, call);
  if (!stream) return ApiAnswer::failed(stream.error(), 10069);
  advise_stream(context, (*stream)->config().name, AssetAction::kModify);
  return ApiAnswer::ok(fmt::format("{{{}}}", info_members(context, **stream, context.options.domain)));
}

ApiAnswer stream_delete(ApiContext& context, const ApiCall& call) {
  if (!is_empty_request(call.body)) return ApiAnswer::failed(10038);
  if (auto status = context.streams.remove(call.token[0]); !status)
    return ApiAnswer::failed(status.error(), 10050);
  advise_stream(context, call.token[0], AssetAction::kDelete);
  return ApiAnswer::ok(R"({"success":true})");
}

namespace {

ApiAnswer purge_answer(const Result<uint64_t>& purged) {
  if (!purged) return ApiAnswer::failed(purged.error(), 10110);
  return ApiAnswer::ok(fmt::format(R"({{"success":true,"purged":{}}})", *purged));
}

/// Of a purge: what it came to, or who waits for that.
struct PurgeOutcome {
  std::optional<Result<uint64_t>> purged;
  ApiAnswerDone waiting;
};

}  // namespace

ApiAnswer stream_purge(ApiContext& context, const ApiCall& call) {
  PurgeRequest request;
  uint64_t below = 0;
  if (has_json_body(call.body)) {
    const std::array fields{JsonField::into("filter", request.filter),
                            JsonField::into("seq", below), JsonField::into("keep", request.keep)};
    if (auto status = parse_json_object(call.body, fields, context.options.unknown_keys); !status)
      return ApiAnswer::failed(status.error());
  }
  request.below = StreamSeq(below);
  Stream* stream = context.streams.find(call.token[0]);
  if (stream == nullptr) return ApiAnswer::failed(10059);
  const auto outcome = std::make_shared<PurgeOutcome>();
  stream->purge(request, [outcome](Result<uint64_t> purged) {
    outcome->purged = std::move(purged);
    if (outcome->waiting) std::exchange(outcome->waiting, nullptr)(purge_answer(*outcome->purged));
  });
  if (outcome->purged) return purge_answer(*outcome->purged);
  ApiAnswer answer;
  answer.later = [outcome](ApiAnswerDone done) { outcome->waiting = std::move(done); };
  return answer;
}

ApiAnswer clustering_required(ApiContext&, const ApiCall&) { return ApiAnswer::failed(10010); }

}  // namespace sluice::verbs
