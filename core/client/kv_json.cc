// A bucket's options as its stream's configuration (ADR-8), both ways.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/headers.h"
#include "client/kv.h"
#include "client/kv_names.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

int64_t or_none(int64_t limit) { return limit <= 0 ? -1 : limit; }

struct BucketPlace {
  std::string bucket;
  std::string domain;
};

/// "bucket" or "domain/bucket"; the prefix KV_ may stand before the bucket.
Result<BucketPlace> parse_place(std::string_view text) {
  BucketPlace place;
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    place.domain = text.substr(0, slash);
    text.remove_prefix(slash + 1);
    if (!is_kv_bucket(place.domain))
      return fail(Errc::kInvalidArgument, fmt::format("'{}' is no JetStream domain", place.domain));
  }
  if (text.starts_with("KV_")) text.remove_prefix(3);
  place.bucket = text;
  if (!is_kv_bucket(place.bucket))
    return fail(Errc::kInvalidArgument,
                fmt::format("'{}' is no bucket name: letters, digits, '_' and '-'", text));
  return place;
}

Json origin(const BucketPlace& place) {
  Json out = {{"name", kv_stream(place.bucket)}};
  if (!place.domain.empty()) out["external"] = {{"api", "$JS." + place.domain + ".API"}, {"deliver", ""}};
  return out;
}

Status check(const KvBucketSpec& spec) {
  const auto wrong = [](std::string detail) { return fail(Errc::kInvalidArgument, std::move(detail)); };
  if (!is_kv_bucket(spec.bucket))
    return wrong(fmt::format("'{}' is no bucket name: letters, digits, '_' and '-'", spec.bucket));
  if (spec.history < 1 || spec.history > kMaxKvHistory)
    return wrong(fmt::format("a key keeps 1 to {} revisions, not {}", kMaxKvHistory, spec.history));
  if (spec.ttl.count() < 0) return wrong("a TTL is a time of 0 or more");
  if (spec.marker_ttl.count() != 0 && spec.marker_ttl < 1s)
    return wrong("markers stay for 1s or more");
  if (spec.replicas < 1 || spec.replicas > 5) return wrong("a bucket has 1 to 5 replicas");
  if (!spec.mirror.empty() && !spec.sources.empty())
    return wrong("a bucket is a mirror of one or has several sources, not both");
  if (spec.republish && spec.republish->destination.empty())
    return wrong("republishing needs a destination");
  return {};
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t number_of(const Json& json, const char* key, int64_t otherwise) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

bool flag_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

/// The other way round: as parse_place() takes it.
std::string place_text(const Json& from) {
  std::string out;
  const std::string api = text_of(from.value("external", Json::object()), "api");
  if (api.starts_with("$JS.") && api.ends_with(".API") && api.size() > 8)
    out = api.substr(4, api.size() - 8) + "/";
  std::string name = text_of(from, "name");
  return out + (name.starts_with("KV_") ? name.substr(3) : name);
}

void read_config(const Json& config, KvBucketSpec& spec) {
  spec.description = text_of(config, "description");
  spec.history = number_of(config, "max_msgs_per_subject", 1);
  spec.ttl = std::chrono::nanoseconds(number_of(config, "max_age", 0));
  spec.max_value_bytes = or_none(number_of(config, "max_msg_size", -1));
  spec.max_bytes = or_none(number_of(config, "max_bytes", -1));
  spec.memory = text_of(config, "storage") == "memory";
  spec.compress = text_of(config, "compression") == "s2";
  spec.replicas = static_cast<int>(number_of(config, "num_replicas", 1));
  spec.marker_ttl = std::chrono::nanoseconds(number_of(config, "subject_delete_marker_ttl", 0));
  if (const auto placement = config.find("placement"); placement != config.end() && placement->is_object()) {
    spec.placement_cluster = text_of(*placement, "cluster");
    for (const Json& tag : placement->value("tags", Json::array()))
      if (tag.is_string()) spec.placement_tags.push_back(tag.get<std::string>());
  }
  if (const auto republish = config.find("republish"); republish != config.end() && republish->is_object())
    spec.republish = KvRepublish{text_of(*republish, "src"), text_of(*republish, "dest"),
                                 flag_of(*republish, "headers_only")};
  if (const auto metadata = config.find("metadata"); metadata != config.end() && metadata->is_object()) {
    for (const auto& [key, value] : metadata->items())
      if (value.is_string() && !key.starts_with("_nats.")) spec.metadata[key] = value.get<std::string>();
  }
  if (const auto mirror = config.find("mirror"); mirror != config.end() && mirror->is_object())
    spec.mirror = place_text(*mirror);
  if (const auto sources = config.find("sources"); sources != config.end() && sources->is_array()) {
    for (const Json& source : *sources)
      if (source.is_object()) spec.sources.push_back(place_text(source));
  }
}

}  // namespace

Result<std::string> encode_kv_bucket(const KvBucketSpec& spec) {
  if (auto good = check(spec); !good) return std::unexpected(good.error());
  Json json = {{"name", kv_stream(spec.bucket)}};
  if (!spec.description.empty()) json["description"] = spec.description;
  if (spec.mirror.empty()) json["subjects"] = {kv_subject(spec.bucket, ">")};
  json["retention"] = "limits";
  json["max_consumers"] = -1;
  json["max_msgs_per_subject"] = spec.history;
  json["max_msgs"] = -1;
  json["max_bytes"] = or_none(spec.max_bytes);
  json["max_age"] = spec.ttl.count();
  json["max_msg_size"] = or_none(spec.max_value_bytes);
  json["storage"] = spec.memory ? "memory" : "file";
  json["discard"] = "new";
  json["num_replicas"] = spec.replicas;
  std::chrono::nanoseconds window = 2min;
  if (spec.ttl.count() > 0) window = std::min(window, spec.ttl);
  if (spec.mirror.empty()) json["duplicate_window"] = window.count();
  json["deny_delete"] = true;
  json["deny_purge"] = false;
  json["allow_rollup_hdrs"] = true;
  json["allow_direct"] = true;
  if (spec.compress) json["compression"] = "s2";
  if (spec.marker_ttl.count() != 0) {
    json["allow_msg_ttl"] = true;
    json["subject_delete_marker_ttl"] = spec.marker_ttl.count();
  }
  if (!spec.placement_cluster.empty() || !spec.placement_tags.empty()) {
    Json placement = Json::object();
    if (!spec.placement_cluster.empty()) placement["cluster"] = spec.placement_cluster;
    if (!spec.placement_tags.empty()) placement["tags"] = spec.placement_tags;
    json["placement"] = std::move(placement);
  }
  if (spec.republish)
    json["republish"] = {{"src", spec.republish->source.empty() ? ">" : spec.republish->source},
                         {"dest", spec.republish->destination},
                         {"headers_only", spec.republish->headers_only}};
  if (!spec.metadata.empty()) json["metadata"] = spec.metadata;
  if (!spec.mirror.empty()) {
    auto place = parse_place(spec.mirror);
    if (!place) return std::unexpected(place.error());
    json["mirror"] = origin(*place);
    json["mirror_direct"] = true;
  }
  for (const std::string& text : spec.sources) {
    auto place = parse_place(text);
    if (!place) return std::unexpected(place.error());
    Json source = origin(*place);
    if (place->bucket != spec.bucket)
      source["subject_transforms"] = {{{"src", kv_subject(place->bucket, ">")}, {"dest", kv_subject(spec.bucket, ">")}}};
    json["sources"].push_back(std::move(source));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<KvStatus> parse_kv_bucket(std::string_view info) {
  const Json root = Json::parse(info, nullptr, false);
  const auto no_bucket = [] { return fail(Errc::kCorrupt, "the stream is no key-value bucket"); };
  if (!root.is_object() || !root.contains("config") || !root.contains("state")) return no_bucket();
  const Json& config = root["config"];
  const Json& state = root["state"];
  if (!config.is_object() || !state.is_object()) return no_bucket();
  const std::string name = text_of(config, "name");
  if (!name.starts_with("KV_") || !is_kv_bucket(std::string_view(name).substr(3))) return no_bucket();
  KvStatus status;
  status.spec.bucket = name.substr(3);
  read_config(config, status.spec);
  status.allow_direct = flag_of(config, "allow_direct") || flag_of(config, "mirror_direct");
  status.values = static_cast<uint64_t>(number_of(state, "messages", 0));
  status.keys = static_cast<uint64_t>(number_of(state, "num_subjects", 0));
  status.bytes = static_cast<uint64_t>(number_of(state, "bytes", 0));
  status.last_revision = StreamSeq(static_cast<uint64_t>(number_of(state, "last_seq", 0)));
  status.created = parse_rfc3339(text_of(root, "created")).value_or(0);
  return status;
}

}  // namespace sluice
