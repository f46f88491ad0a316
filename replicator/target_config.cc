#include "replicator/target_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "subject/subject.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCopiedFields[] = {
    "description",       "subjects",        "retention",     "max_consumers", "max_msgs",
    "max_bytes",         "max_age",         "max_msgs_per_subject",           "max_msg_size",
    "discard",           "discard_new_per_subject",          "storage",       "duplicate_window",
    "compression",       "allow_direct",    "deny_delete",   "deny_purge",    "allow_rollup_hdrs",
    "consumer_limits",   "allow_msg_ttl",   "subject_delete_marker_ttl",      "metadata"};

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Result<Json> config_of(std::string_view info) {
  const Json parsed = Json::parse(info, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("config") || !parsed["config"].is_object())
    return fail(Errc::kCorrupt, "not a stream's info");
  return parsed["config"];
}

/// Servers put their own words there.
Json own_metadata(const Json& metadata) {
  Json out = Json::object();
  for (const auto& [key, value] : metadata.items()) {
    if (!key.starts_with("_nats.")) out[key] = value;
  }
  return out;
}

/// What says nothing: absent, false, zero, empty.
bool is_nothing(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == 0;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();
}

Result<Json> wanted_config(std::string_view source_info, const StreamCopyOptions& options, const SubjectRewrite& rewrite) {
  auto source = config_of(source_info);
  if (!source) return source;
  Json wanted = Json::object();
  for (const char* field : kCopiedFields) {
    const auto found = source->find(field);
    if (found == source->end()) continue;
    wanted[field] = std::string_view(field) == "metadata" && found->is_object() ? own_metadata(*found) : *found;
  }
  if (!wanted.contains("subjects") || !wanted["subjects"].is_array() || wanted["subjects"].empty()) {
    return fail(Errc::kInvalidArgument,
                "the source stream has no subjects of its own (is it a mirror?): make the target stream by hand");
  }
  for (Json& subject : wanted["subjects"]) {
    if (subject.is_string()) subject = rewrite.of_pattern(subject.get<std::string>());
  }
  const auto takes = [&](const Json& subject) { return subject.is_string() && subject_matches(subject.get<std::string>(), options.fence_subject); };
  if (!options.fence_subject.empty() && std::none_of(wanted["subjects"].begin(), wanted["subjects"].end(), takes))
    wanted["subjects"].push_back(options.fence_subject);
  return wanted;
}

}  // namespace

Result<std::string> target_config(std::string_view source_info, const StreamCopyOptions& options,
                                  const SubjectRewrite& rewrite) {
  const auto wanted = wanted_config(source_info, options, rewrite);
  if (!wanted) return std::unexpected(wanted.error());
  Json config = {{"name", options.target_stream}};
  config.update(*wanted);
  config["num_replicas"] = options.target_replicas;
  if (options.target_writers == TargetWriters::kShared) config["allow_atomic"] = true;  // older servers leave it out
  return dump(config);
}

std::vector<ConfigDifference> config_differences(std::string_view source_info, std::string_view target_info,
                                                 const StreamCopyOptions& options, const SubjectRewrite& rewrite) {
  auto wanted = wanted_config(source_info, options, rewrite);
  const auto target = config_of(target_info);
  if (!wanted || !target) return {};
  (*wanted)["num_replicas"] = options.target_replicas;
  std::vector<ConfigDifference> out;
  const auto compare = [&](const char* field) {
    const Json source_value = wanted->contains(field) ? (*wanted)[field] : Json();
    Json target_value = target->contains(field) ? (*target)[field] : Json();
    if (std::string_view(field) == "metadata" && target_value.is_object()) target_value = own_metadata(target_value);
    if (source_value == target_value || (is_nothing(source_value) && is_nothing(target_value))) return;
    out.push_back({field, source_value.is_null() ? "" : dump(source_value),
                   target_value.is_null() ? "" : dump(target_value)});
  };
  for (const char* field : kCopiedFields) compare(field);
  compare("num_replicas");
  return out;
}

Result<std::string> updated_config(std::string_view target_info, const std::vector<ConfigDifference>& differences) {
  auto config = config_of(target_info);
  if (!config) return std::unexpected(config.error());
  for (const ConfigDifference& difference : differences) {
    if (difference.source.empty()) {
      config->erase(difference.field);
    } else {
      (*config)[difference.field] = Json::parse(difference.source, nullptr, false);
    }
  }
  return dump(*config);
}

}  // namespace sluice
