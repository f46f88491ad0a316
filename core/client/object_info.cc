#include "client/object_info.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "client/kv_names.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

int64_t or_none(int64_t limit) { return limit <= 0 ? -1 : limit; }

std::string padded_base64url(std::string_view bytes) {
  std::string out = base64url_encode(bytes);
  out.append((4 - out.size() % 4) % 4, '=');
  return out;
}

const Json* member(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() ? nullptr : &*found;
}

std::string text_of(const Json& json, const char* key) {
  const Json* found = member(json, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t number_of(const Json& json, const char* key, int64_t otherwise) {
  const Json* found = member(json, key);
  return found != nullptr && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

uint64_t count_of(const Json& json, const char* key) {
  const Json* found = member(json, key);
  return found != nullptr && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

bool flag_of(const Json& json, const char* key) {
  const Json* found = member(json, key);
  return found != nullptr && found->is_boolean() && found->get<bool>();
}

std::map<std::string, std::string> texts_of(const Json& json, const char* key) {
  std::map<std::string, std::string> out;
  const Json* found = member(json, key);
  if (found == nullptr || !found->is_object()) return out;
  for (const auto& [name, value] : found->items())
    if (value.is_string() && !name.starts_with("_nats.")) out[name] = value.get<std::string>();
  return out;
}

/// Values are lists in nats.go's and nats.js' writing, plain texts in nats-py's.
std::map<std::string, std::vector<std::string>> headers_of(const Json& json) {
  std::map<std::string, std::vector<std::string>> out;
  const Json* found = member(json, "headers");
  if (found == nullptr || !found->is_object()) return out;
  for (const auto& [name, value] : found->items()) {
    if (value.is_string()) out[name].push_back(value.get<std::string>());
    if (!value.is_array()) continue;
    for (const Json& one : value)
      if (one.is_string()) out[name].push_back(one.get<std::string>());
  }
  return out;
}

Status check(const ObjectBucketSpec& spec) {
  const auto wrong = [](std::string detail) { return fail(Errc::kInvalidArgument, std::move(detail)); };
  if (!is_object_bucket(spec.bucket))
    return wrong(fmt::format("'{}' is no bucket name: letters, digits, '_' and '-'", spec.bucket));
  if (spec.ttl.count() < 0) return wrong("a TTL is a time of 0 or more");
  if (spec.replicas < 1 || spec.replicas > 5) return wrong("a bucket has 1 to 5 replicas");
  return {};
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

bool is_object_bucket(std::string_view bucket) { return is_kv_bucket(bucket); }
std::string object_stream(std::string_view bucket) { return "OBJ_" + std::string(bucket); }
std::string object_chunk_subject(std::string_view bucket, std::string_view nuid) {
  return fmt::format("$O.{}.C.{}", bucket, nuid);
}
std::string object_meta_subject(std::string_view bucket, std::string_view name) {
  return fmt::format("$O.{}.M.{}", bucket, padded_base64url(name));
}
std::string object_digest_text(std::string_view sha256_bytes) { return "SHA-256=" + padded_base64url(sha256_bytes); }

Result<std::string> encode_object_bucket(const ObjectBucketSpec& spec) {
  if (auto good = check(spec); !good) return std::unexpected(good.error());
  Json json = {{"name", object_stream(spec.bucket)}};
  if (!spec.description.empty()) json["description"] = spec.description;
  json["subjects"] = {object_chunk_subject(spec.bucket, ">"), fmt::format("$O.{}.M.>", spec.bucket)};
  json["retention"] = "limits";
  json["max_consumers"] = -1;
  json["max_msgs"] = -1;
  json["max_bytes"] = or_none(spec.max_bytes);
  json["max_age"] = spec.ttl.count();
  json["storage"] = spec.memory ? "memory" : "file";
  json["discard"] = "new";
  json["num_replicas"] = spec.replicas;
  json["allow_rollup_hdrs"] = true;
  json["allow_direct"] = true;
  if (spec.compress) json["compression"] = "s2";
  if (!spec.placement_cluster.empty() || !spec.placement_tags.empty()) {
    Json placement = Json::object();
    if (!spec.placement_cluster.empty()) placement["cluster"] = spec.placement_cluster;
    if (!spec.placement_tags.empty()) placement["tags"] = spec.placement_tags;
    json["placement"] = std::move(placement);
  }
  if (!spec.metadata.empty()) json["metadata"] = spec.metadata;
  return dump(json);
}

Result<ObjectBucketStatus> parse_object_bucket(std::string_view info) {
  const Json root = Json::parse(info, nullptr, false);
  const auto no_bucket = [] { return fail(Errc::kCorrupt, "the stream is no object store"); };
  if (!root.is_object() || !root.contains("config") || !root.contains("state")) return no_bucket();
  const Json& config = root["config"];
  const Json& state = root["state"];
  if (!config.is_object() || !state.is_object()) return no_bucket();
  const std::string name = text_of(config, "name");
  if (!name.starts_with("OBJ_") || !is_object_bucket(std::string_view(name).substr(4))) return no_bucket();
  ObjectBucketStatus status;
  ObjectBucketSpec& spec = status.spec;
  spec.bucket = name.substr(4);
  spec.description = text_of(config, "description");
  spec.ttl = std::chrono::nanoseconds(number_of(config, "max_age", 0));
  spec.max_bytes = or_none(number_of(config, "max_bytes", -1));
  spec.memory = text_of(config, "storage") == "memory";
  spec.compress = text_of(config, "compression") == "s2";
  spec.replicas = static_cast<int>(number_of(config, "num_replicas", 1));
  spec.metadata = texts_of(config, "metadata");
  if (const Json* placement = member(config, "placement"); placement != nullptr && placement->is_object()) {
    spec.placement_cluster = text_of(*placement, "cluster");
    for (const Json& tag : placement->value("tags", Json::array()))
      if (tag.is_string()) spec.placement_tags.push_back(tag.get<std::string>());
  }
  status.sealed = flag_of(config, "sealed");
  status.bytes = count_of(state, "bytes");
  status.created = parse_rfc3339(text_of(root, "created")).value_or(0);
  return status;
}

std::string encode_object_info(const ObjectInfo& info) {
  Json json = {{"name", info.meta.name}};
  if (!info.meta.description.empty()) json["description"] = info.meta.description;
  if (!info.meta.headers.empty()) json["headers"] = info.meta.headers;
  if (!info.meta.metadata.empty()) json["metadata"] = info.meta.metadata;
  if (info.link) {
    json["options"]["link"]["bucket"] = info.link->bucket;
    if (!info.link->object.empty()) json["options"]["link"]["name"] = info.link->object;
  }
  if (info.meta.chunk_bytes != 0) json["options"]["max_chunk_size"] = info.meta.chunk_bytes;
  json["bucket"] = info.bucket;
  json["nuid"] = info.nuid;
  json["size"] = info.size;
  json["mtime"] = format_rfc3339(info.modified);
  json["chunks"] = info.chunks;
  if (!info.digest.empty()) json["digest"] = info.digest;
  if (info.deleted) json["deleted"] = true;
  return dump(json);
}

Result<ObjectInfo> parse_object_info(std::string_view text, WallNanos modified) {
  const Json json = Json::parse(text, nullptr, false);
  const auto wrong = [] { return fail(Errc::kCorrupt, "the message describes no object"); };
  if (!json.is_object()) return wrong();
  ObjectInfo info;
  info.meta.name = text_of(json, "name");
  info.bucket = text_of(json, "bucket");
  info.nuid = text_of(json, "nuid");
  if (info.meta.name.empty() || info.bucket.empty() || info.nuid.find_first_of(" .*>\t\r\n") != std::string::npos)
    return wrong();
  info.meta.description = text_of(json, "description");
  info.meta.headers = headers_of(json);
  info.meta.metadata = texts_of(json, "metadata");
  info.size = count_of(json, "size");
  info.chunks = count_of(json, "chunks");
  info.digest = text_of(json, "digest");
  info.deleted = flag_of(json, "deleted");
  info.modified = modified;
  if (const Json* options = member(json, "options"); options != nullptr && options->is_object()) {
    info.meta.chunk_bytes = count_of(*options, "max_chunk_size");
    if (const Json* link = member(*options, "link"); link != nullptr && link->is_object())
      info.link = ObjectLink{text_of(*link, "bucket"), text_of(*link, "name")};
  }
  return info;
}

}  // namespace sluice
