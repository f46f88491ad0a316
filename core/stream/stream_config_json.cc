// The configuration as the API shows it.
#include <algorithm>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "stream/stream_config.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

Json metadata_json(const StreamConfig& config, const ServerMetadata* server) {
  std::map<std::string, std::string> shown = config.metadata;
  shown["_nats.req.level"] = std::to_string(required_api_level(config));
  if (server != nullptr) {
    shown["_nats.ver"] = server->version;
    shown["_nats.level"] = std::to_string(server->api_level);
  }
  Json out = Json::object();
  for (const auto& [key, value] : shown) out[key] = value;
  return out;
}

Json republish_json(const RepublishConfig& republish) {
  Json out = Json::object();
  if (!republish.source.empty()) out["src"] = republish.source;
  out["dest"] = republish.destination;
  if (republish.headers_only) out["headers_only"] = true;
  return out;
}

Json placement_json(const Placement& placement) {
  Json out = Json::object();
  if (!placement.cluster.empty()) out["cluster"] = placement.cluster;
  if (!placement.tags.empty()) out["tags"] = placement.tags;
  return out;
}

}  // namespace

const char* to_string(Retention retention) {
  switch (retention) {
    case Retention::kLimits: return "limits";
    case Retention::kInterest: return "interest";
    case Retention::kWorkQueue: return "workqueue";
  }
  return "limits";
}

const char* to_string(Discard discard) { return discard == Discard::kNew ? "new" : "old"; }

const char* to_string(StorageKind storage) {
  return storage == StorageKind::kMemory ? "memory" : "file";
}

int required_api_level(const StreamConfig& c) {
  if (c.allow_batched) return 4;
  if (c.allow_msg_counter || c.allow_atomic || c.allow_msg_schedules ||
      c.persist_mode == PersistMode::kAsync)
    return 2;
  return c.allow_msg_ttl || c.subject_delete_marker_ttl.count() > 0 ? 1 : 0;
}

std::string stream_config_json(const StreamConfig& c, const ServerMetadata* server) {
  Json out;
  out["name"] = c.name;
  if (!c.description.empty()) out["description"] = c.description;
  if (!c.subjects.empty()) out["subjects"] = c.subjects;
  out["retention"] = to_string(c.retention);
  out["max_consumers"] = c.max_consumers;
  out["max_msgs"] = c.max_msgs;
  out["max_bytes"] = c.max_bytes;
  out["max_age"] = c.max_age.count();
  out["max_msgs_per_subject"] = c.max_msgs_per_subject;
  if (c.max_msg_size != 0) out["max_msg_size"] = c.max_msg_size;
  out["discard"] = to_string(c.discard);
  out["storage"] = to_string(c.storage);
  out["num_replicas"] = c.num_replicas;
  if (c.no_ack) out["no_ack"] = true;
  if (c.duplicate_window.count() != 0) out["duplicate_window"] = c.duplicate_window.count();
  if (c.placement) out["placement"] = placement_json(*c.placement);
  if (c.mirror) out["mirror"] = Json::parse(stream_source_json(*c.mirror));
  if (!c.sources.empty()) {
    Json& sources = out["sources"] = Json::array();
    for (const StreamSource& source : c.sources)
      sources.push_back(Json::parse(stream_source_json(source)));
  }
  out["compression"] = c.compression == Compression::kS2 ? "s2" : "none";
  if (c.first_seq != 0) out["first_seq"] = c.first_seq;
  if (c.subject_transform)
    out["subject_transform"] = {{"src", c.subject_transform->source},
                                {"dest", c.subject_transform->destination}};
  if (c.republish) out["republish"] = republish_json(*c.republish);
  out["allow_direct"] = c.allow_direct;
  out["mirror_direct"] = c.mirror_direct;
  if (c.discard_new_per_subject) out["discard_new_per_subject"] = true;
  out["sealed"] = c.sealed;
  out["deny_delete"] = c.deny_delete;
  out["deny_purge"] = c.deny_purge;
  out["allow_rollup_hdrs"] = c.allow_rollup_hdrs;
  Json limits = Json::object();
  if (c.consumer_limits.inactive_threshold.count() != 0)
    limits["inactive_threshold"] = c.consumer_limits.inactive_threshold.count();
  if (c.consumer_limits.max_ack_pending != 0)
    limits["max_ack_pending"] = c.consumer_limits.max_ack_pending;
  out["consumer_limits"] = std::move(limits);
  out["allow_msg_ttl"] = c.allow_msg_ttl;
  if (c.subject_delete_marker_ttl.count() != 0)
    out["subject_delete_marker_ttl"] = c.subject_delete_marker_ttl.count();
  if (c.allow_msg_counter) out["allow_msg_counter"] = true;
  if (c.allow_atomic) out["allow_atomic"] = true;
  if (c.allow_msg_schedules) out["allow_msg_schedules"] = true;
  if (c.persist_mode == PersistMode::kAsync) out["persist_mode"] = "async";
  if (c.allow_batched) out["allow_batched"] = true;
  out["metadata"] = metadata_json(c, server);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sluice
