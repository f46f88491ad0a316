// CONSUMER.CREATE in its forms, DELETE, PAUSE, RESET, UNPIN.
#include <fmt/format.h>

#include <array>

#include "api/api_request.h"
#include "api/consumer_reply.h"
#include "api/consumer_verbs.h"
#include "base/headers.h"

namespace sluice::verbs {
namespace {

constexpr std::string_view kStreamIdentity = "Nats-Stream-Identity";

std::unexpected<Error> no(uint16_t code, std::string detail = {}) {
  return fail_api(Errc::kInvalidArgument, code, std::move(detail));
}

/// Consumers of mirrors and sources elsewhere. On a stream that loses what is acknowledged they are made
/// durable, so that nothing is lost between two of them (ADR-60). Where one starts is then its ack floor's to say:
/// the sink comes back with a start of its own, behind which there may be messages that it has not acknowledged.
void make_durable_for_sink(const Stream& stream, ConsumerConfig& config) {
  if (!config.sourcing || !config.direct || stream.config().retention == Retention::kLimits) return;
  config.direct = false;
  config.durable_name = config.name;
  config.ack_policy = AckPolicy::kFlowControl;
  config.ack_wait = config.inactive_threshold = std::chrono::nanoseconds{0};
  config.max_deliver = 0;
  config.deliver_policy = DeliverPolicy::kAll;
  config.opt_start_seq = 0;
  config.opt_start_time.reset();
}

void add_identity(const Consumer& consumer, ApiAnswer& answer) {
  if (!consumer.config().direct && !consumer.config().sourcing) return;
  append_header(answer.headers, kStreamIdentity, stream_identity(consumer.stream().created()));
}

ConsumerAction action_of(const ConsumerRequest& request) {
  if (request.action == "create") return ConsumerAction::kCreate;
  if (request.action == "update") return ConsumerAction::kUpdate;
  return ConsumerAction::kCreateOrUpdate;
}

/// The subject's name and filter against the body's.
Status check_named(ConsumerConfig& config, std::string_view name, std::string_view filter) {
  if (!config.durable_name.empty() && config.durable_name != name) return no(10017);
  config.name = name;
  if (filter.empty()) return {};
  if (!config.filter_subjects.empty()) return no(10137);
  if (config.filter_subject != filter) return no(10131);
  return {};
}

Status check_subject(ConsumerConfig& config, const ApiCall& call, bool durable_form) {
  const std::string_view name = call.token[1];
  if (durable_form) {
    if (config.durable_name.empty()) return no(10018);
    if (config.durable_name != name) return no(10017);
    config.name = name;
    return {};
  }
  if (!name.empty()) return check_named(config, name, call.token[2]);
  return config.durable_name.empty() ? Status{} : Status{no(10020)};
}

/// A mirror or source that knew another stream of this name must not go on in this one.
Status check_identity(const Stream& stream, const ConsumerConfig& config, std::string_view headers) {
  if (!config.direct && !config.sourcing) return {};
  const auto known = find_header(headers, kStreamIdentity);
  if (!known || known->empty()) return {};
  const std::string own = stream_identity(stream.created());
  return *known == own ? Status{} : no(10225, own);
}

Result<Consumer*> create(ApiContext& context, const ApiCall& call, bool durable_form) {
  auto request = parse_consumer_request(call.body, context.options.unknown_keys);
  if (!request) return std::unexpected(request.error());
  ConsumerConfig& config = request->config;
  if (request->stream_name != call.token[0]) return no(10056);
  if (Status s = check_subject(config, call, durable_form); !s) return std::unexpected(s.error());
  for (const std::string* name : {&config.name, &config.durable_name}) {
    if (name->find_first_of("/\\") != std::string::npos) return no(10127);
  }
  if (config.num_replicas > 1) return no(10074);
  Stream* stream = context.streams.find(call.token[0]);
  if (stream == nullptr) return fail_api(Errc::kNotFound, 10059, {});
  if (Status s = check_identity(*stream, config, call.headers); !s) return std::unexpected(s.error());
  strip_server_metadata(config.metadata);
  make_durable_for_sink(*stream, config);
  const bool starts_anew = config.sourcing && config.ack_policy == AckPolicy::kFlowControl;
  auto made = context.consumers.put(*stream, std::move(config), action_of(*request), request->pedantic);
  if (made && starts_anew) (void)context.consumers.reset(**made, std::nullopt);
  return made;
}

ApiAnswer answer_create(ApiContext& context, const ApiCall& call, bool durable_form) {
  const auto consumer = create(context, call, durable_form);
  if (!consumer) return ApiAnswer::failed(consumer.error());
  ApiAnswer answer = ApiAnswer::ok(consumer_json(context, **consumer, true));
  add_identity(**consumer, answer);
  return answer;
}

}  // namespace

ApiAnswer consumer_create(ApiContext& context, const ApiCall& call) { return answer_create(context, call, false); }

ApiAnswer consumer_durable_create(ApiContext& context, const ApiCall& call) {
  return answer_create(context, call, true);
}

ApiAnswer consumer_delete(ApiContext& context, const ApiCall& call) {
  if (!is_empty_request(call.body)) return ApiAnswer::failed(10038);
  const auto consumer = named_consumer(context, call);
  if (!consumer) return ApiAnswer::failed(consumer.error());
  if (Status s = context.consumers.remove(call.token[0], call.token[1]); !s) return ApiAnswer::failed(s.error());
  return ApiAnswer::ok(R"({"success":true})");
}

ApiAnswer consumer_pause(ApiContext& context, const ApiCall& call) {
  WallNanos until = kZeroTime;
  if (has_json_body(call.body)) {
    const std::array fields{
        JsonField{"pause_until", [&](const JsonElement& e) { return read_json_time(e, until); }}};
    if (Status s = parse_json_object(call.body, fields, context.options.unknown_keys); !s) return ApiAnswer::failed(s.error());
  }
  const auto consumer = named_consumer(context, call);
  if (!consumer) return ApiAnswer::failed(consumer.error());
  const WallNanos now = context.env.clock.wall();
  context.consumers.pause(**consumer, until);
  if (until <= now) return ApiAnswer::ok(fmt::format(R"({{"paused":false,"pause_until":"{}"}})", format_rfc3339(until)));
  return ApiAnswer::ok(fmt::format(R"({{"paused":true,"pause_until":"{}","pause_remaining":{}}})",
                                   format_rfc3339(until), until - now));
}

ApiAnswer consumer_unpin(ApiContext& context, const ApiCall& call) {
  if (is_empty_request(call.body)) return ApiAnswer::failed(10025, "unexpected end of JSON input");
  std::string group;
  const std::array fields{JsonField::into("group", group)};
  if (Status s = parse_json_object(call.body, fields, context.options.unknown_keys); !s) return ApiAnswer::failed(s.error());
  if (group.empty()) return ApiAnswer::failed(10025, "consumer group not specified");
  if (!is_valid_priority_group(group)) return ApiAnswer::failed(10162);
  const auto consumer = named_consumer(context, call);
  if (!consumer) return ApiAnswer::failed(consumer.error());
  if (Status s = (*consumer)->unpin(group); !s) return ApiAnswer::failed(s.error());
  return ApiAnswer::ok({});
}

ApiAnswer consumer_reset(ApiContext& context, const ApiCall& call) {
  uint64_t seq = 0;
  if (!call.body.empty()) {
    // Lenient like the pulls, for the reference serves it beside the API.
    const std::array fields{JsonField::into("seq", seq)};
    if (Status s = parse_json_object(call.body, fields, UnknownKeys::kIgnore); !s) return ApiAnswer::failed(s.error());
  }
  const auto consumer = named_consumer(context, call);
  if (!consumer) return ApiAnswer::failed(consumer.error());
  const auto start = context.consumers.reset(**consumer, seq > 0 ? std::optional(StreamSeq(seq)) : std::nullopt);
  if (!start) return ApiAnswer::failed(start.error());
  ApiAnswer answer = ApiAnswer::ok(consumer_json(context, **consumer, true));
  answer.fields.back() = ',';
  answer.fields += fmt::format(R"("reset_seq":{}}})", start->value());
  answer.audited = false;
  add_identity(**consumer, answer);
  return answer;
}

}  // namespace sluice::verbs
