// Parsing and writing of consumer configurations.
#include <nlohmann/json.hpp>

#include <array>

#include "consumer/consumer_config.h"
#include "stream/json_object.h"

namespace sluice {
namespace {

template <class T>
struct Name {
  std::string_view text;
  T value;
};

constexpr Name<DeliverPolicy> kDeliverPolicies[] = {
    {"all", DeliverPolicy::kAll},
    {"last", DeliverPolicy::kLast},
    {"new", DeliverPolicy::kNew},
    {"by_start_sequence", DeliverPolicy::kByStartSequence},
    {"by_start_time", DeliverPolicy::kByStartTime},
    {"last_per_subject", DeliverPolicy::kLastPerSubject},
    {"undefined", DeliverPolicy::kAll},
};
constexpr Name<AckPolicy> kAckPolicies[] = {
    {"none", AckPolicy::kNone},
                                           {"all", AckPolicy::kAll},
                                           {"explicit", AckPolicy::kExplicit},
                                           {"flow_control", AckPolicy::kFlowControl}};
constexpr Name<PriorityPolicy> kPriorityPolicies[] = {{"none", PriorityPolicy::kNone},
                                                     {"overflow", PriorityPolicy::kOverflow},
                                                     {"pinned_client", PriorityPolicy::kPinnedClient},
                                                     {"prioritized", PriorityPolicy::kPrioritized}};
constexpr Name<ReplayPolicy> kReplayPolicies[] = {{"instant", ReplayPolicy::kInstant},
                                                  {"original", ReplayPolicy::kOriginal}};

template <class T, size_t N>
Status read_enum(const JsonElement& from, const Name<T> (&names)[N], T& out) {
  std::string text;
  if (Status read = read_json(from, text); !read) return read;
  // Neither null nor "" is a word.
  for (const auto& name : names) {
    if (name.text == text) {
      out = name.value;
      return {};
    }
  }
  return bad_json("can not unmarshal \"\\\"" + text + "\\\"\"");
}

template <class T, size_t N>
std::string_view name_of(const Name<T> (&names)[N], T value) {
  for (const auto& name : names) {
    if (name.value == value) return name.text;
  }
  return {};
}

/// A pointer field of the reference: a zero time that was given is kept and shown again.
Status read_time(const JsonElement& from, std::optional<WallNanos>& out) {
  if (from.is_null()) return {};
  WallNanos time = kZeroTime;
  if (Status read = read_json_time(from, time); !read) return read;
  out = time;
  return {};
}

Status read_config(const JsonElement& from, ConsumerConfig& c, UnknownKeys unknown) {
  const std::array fields = {
      JsonField::into("durable_name", c.durable_name),
      JsonField::into("name", c.name),
      JsonField::into("description", c.description),
      JsonField{"deliver_policy",
                [&](const JsonElement& e) { return read_enum(e, kDeliverPolicies, c.deliver_policy); }},
      JsonField::into("opt_start_seq", c.opt_start_seq),
      JsonField{"opt_start_time", [&](const JsonElement& e) { return read_time(e, c.opt_start_time); }},
      JsonField{"ack_policy", [&](const JsonElement& e) { return read_enum(e, kAckPolicies, c.ack_policy); }},
      JsonField::into("ack_wait", c.ack_wait),
      JsonField::into("max_deliver", c.max_deliver),
      JsonField::into("backoff", c.backoff),
      JsonField::into("filter_subject", c.filter_subject),
      JsonField::into("filter_subjects", c.filter_subjects),
      JsonField{"replay_policy",
                [&](const JsonElement& e) { return read_enum(e, kReplayPolicies, c.replay_policy); }},
      JsonField::into("rate_limit_bps", c.rate_limit_bps),
      JsonField::into("sample_freq", c.sample_freq),
      JsonField::into("max_waiting", c.max_waiting),
      JsonField::into("max_ack_pending", c.max_ack_pending),
      JsonField::into("flow_control", c.flow_control),
      JsonField::into("headers_only", c.headers_only),
      JsonField::into("max_batch", c.max_batch),
      JsonField::into("max_expires", c.max_expires),
      JsonField::into("max_bytes", c.max_bytes),
      JsonField::into("deliver_subject", c.deliver_subject),
      JsonField::into("deliver_group", c.deliver_group),
      JsonField::into("idle_heartbeat", c.idle_heartbeat),
      JsonField::into("inactive_threshold", c.inactive_threshold),
      JsonField::into("num_replicas", c.num_replicas),
      JsonField::into("mem_storage", c.mem_storage),
      JsonField::into("direct", c.direct),
      JsonField::into("sourcing", c.sourcing),
      JsonField::into("metadata", c.metadata),
      JsonField{"pause_until", [&](const JsonElement& e) { return read_time(e, c.pause_until); }},
      JsonField::into("priority_groups", c.priority_groups),
      JsonField{"priority_policy",
                [&](const JsonElement& e) { return read_enum(e, kPriorityPolicies, c.priority_policy); }},
      JsonField::into("priority_timeout", c.priority_timeout),
  };
  return read_json_object(from, fields, unknown);
}

using Json = nlohmann::ordered_json;

template <class T>
void put(Json& out, const char* key, const T& value) {
  if (value != T{}) out[key] = value;
}
void put(Json& out, const char* key, std::chrono::nanoseconds value) {
  if (value.count() != 0) out[key] = value.count();
}
void put(Json& out, const char* key, const std::optional<WallNanos>& value) {
  if (value) out[key] = format_rfc3339(*value);
}

}  // namespace

Result<ConsumerRequest> parse_consumer_request(std::string_view json, UnknownKeys unknown) {
  ConsumerRequest request;
  const std::array fields = {
      JsonField::into("stream_name", request.stream_name),
      JsonField{"config",
                [&](const JsonElement& e) {
                  return e.is_null() ? Status{} : read_config(e, request.config, unknown);
                }},
      JsonField{"action",
                [&](const JsonElement& e) -> Status {
                  if (e.is_null()) return bad_json("unknown consumer action: null");
                  if (Status read = read_json(e, request.action); !read) return read;
                  if (request.action.empty() || request.action == "create" || request.action == "update") return {};
                  return bad_json("unknown consumer action: \"" + request.action + "\"");
                }},
      JsonField::into("pedantic", request.pedantic),
  };
  if (json.empty()) return request;
  if (Status read = parse_json_object(json, fields, unknown); !read) return std::unexpected(read.error());
  return request;
}

Result<ConsumerMeta> parse_consumer_meta(std::string_view json) {
  ConsumerMeta meta;
  std::string made_name;
  const std::array fields = {
      JsonField{"created", [&](const JsonElement& e) { return read_json_time(e, meta.created); }},
      JsonField::into("made_name", made_name),
      JsonField{"config", [&](const JsonElement& e) { return read_config(e, meta.config, UnknownKeys::kRefuse); }},
  };
  if (Status read = parse_json_object(json, fields); !read) return std::unexpected(read.error());
  if (!made_name.empty()) {
    meta.config.name = std::move(made_name);
    meta.config.name_made = true;
  }
  return meta;
}

std::string consumer_meta_json(const ConsumerMeta& meta) {
  std::string out = "{\"created\":\"" + format_rfc3339(meta.created) + "\",";
  if (meta.config.name_made) out += "\"made_name\":" + Json(meta.config.name).dump() + ",";
  return out + "\"config\":" + consumer_config_json(meta.config) + "}";
}

std::string consumer_config_json(const ConsumerConfig& c) {
  Json out = Json::object();
  put(out, "durable_name", c.durable_name);
  if (!c.name_made) put(out, "name", c.name);
  put(out, "description", c.description);
  out["deliver_policy"] = name_of(kDeliverPolicies, c.deliver_policy);
  put(out, "opt_start_seq", c.opt_start_seq);
  put(out, "opt_start_time", c.opt_start_time);
  out["ack_policy"] = name_of(kAckPolicies, c.ack_policy);
  put(out, "ack_wait", c.ack_wait);
  put(out, "max_deliver", c.max_deliver);
  if (!c.backoff.empty()) {
    Json& backoff = out["backoff"] = Json::array();
    for (const auto wait : c.backoff) backoff.push_back(wait.count());
  }
  put(out, "filter_subject", c.filter_subject);
  put(out, "filter_subjects", c.filter_subjects);
  out["replay_policy"] = name_of(kReplayPolicies, c.replay_policy);
  put(out, "rate_limit_bps", c.rate_limit_bps);
  put(out, "sample_freq", c.sample_freq);
  put(out, "max_waiting", c.max_waiting);
  put(out, "max_ack_pending", c.max_ack_pending);
  put(out, "flow_control", c.flow_control);
  put(out, "headers_only", c.headers_only);
  put(out, "max_batch", c.max_batch);
  put(out, "max_expires", c.max_expires);
  put(out, "max_bytes", c.max_bytes);
  put(out, "deliver_subject", c.deliver_subject);
  put(out, "deliver_group", c.deliver_group);
  put(out, "idle_heartbeat", c.idle_heartbeat);
  put(out, "inactive_threshold", c.inactive_threshold);
  out["num_replicas"] = c.num_replicas;
  put(out, "mem_storage", c.mem_storage);
  put(out, "direct", c.direct);
  put(out, "sourcing", c.sourcing);
  put(out, "metadata", c.metadata);
  put(out, "pause_until", c.pause_until);
  put(out, "priority_groups", c.priority_groups);
  if (c.priority_policy != PriorityPolicy::kNone)
    out["priority_policy"] = name_of(kPriorityPolicies, c.priority_policy);
  put(out, "priority_timeout", c.priority_timeout);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sluice
