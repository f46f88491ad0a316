#include "stream/stream_config.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "stream/json_object.h"
#include "stream/stream_source_json.h"

namespace sluice {
namespace {

constexpr std::string_view kReservedMetadata[] = {"_nats.ver", "_nats.level", "_nats.req.level"};

template <class T>
struct Word {
  std::string_view text;
  T value;
};

template <class T, size_t N>
JsonField enum_field(std::string_view name, T& out, const Word<T> (&words)[N]) {
  return {name, [&out, &words](const JsonElement& from) -> Status {
            if (from.is_null()) return bad_json("can not unmarshal \"null\"");  // unlike other fields
            std::string text;
            if (auto status = read_json(from, text); !status) return status;
            for (const Word<T>& word : words) {
              if (word.text != text) continue;
              out = word.value;
              return {};
            }
            return bad_json(fmt::format("can not unmarshal \"\\\"{}\\\"\"", text));
          }};
}

constexpr Word<Retention> kRetentions[] = {{"limits", Retention::kLimits},
                                           {"interest", Retention::kInterest},
                                           {"workqueue", Retention::kWorkQueue}};
constexpr Word<Discard> kDiscards[] = {{"old", Discard::kOld}, {"new", Discard::kNew}};
constexpr Word<StorageKind> kStorages[] = {{"file", StorageKind::kFile},
                                           {"memory", StorageKind::kMemory}};
constexpr Word<PersistMode> kPersistModes[] = {{"", PersistMode::kDefault},
                                               {"default", PersistMode::kDefault},
                                               {"async", PersistMode::kAsync}};

JsonField compression_field(Compression& out) {
  return {"compression", [&out](const JsonElement& from) -> Status {
            std::string text;
            if (auto status = read_json(from, text); !status) return status;
            if (text != "none" && text != "s2") return bad_json("unknown compression algorithm");
            out = text == "s2" ? Compression::kS2 : Compression::kNone;
            return {};
          }};
}

JsonField placement_field(std::optional<Placement>& out, UnknownKeys unknown) {
  return {"placement", [&out, unknown](const JsonElement& from) -> Status {
            if (from.is_null()) return {};
            Placement& placement = out.emplace();
            const std::array fields{JsonField::into("cluster", placement.cluster),
                                    JsonField::into("tags", placement.tags),
                                    JsonField::into("preferred", placement.preferred)};
            return read_json_object(from, fields, unknown);
          }};
}

JsonField consumer_limits_field(ConsumerLimits& limits, UnknownKeys unknown) {
  return {"consumer_limits", [&limits, unknown](const JsonElement& from) {
            const std::array fields{
                JsonField::into("inactive_threshold", limits.inactive_threshold),
                JsonField::into("max_ack_pending", limits.max_ack_pending),
            };
            return read_json_object(from, fields, unknown);
          }};
}

JsonField subject_transform_field(std::optional<SubjectMapping>& out, UnknownKeys unknown) {
  return {"subject_transform", [&out, unknown](const JsonElement& from) -> Status {
            if (from.is_null()) return {};
            SubjectMapping& mapping = out.emplace();
            const std::array fields{JsonField::into("src", mapping.source),
                                    JsonField::into("dest", mapping.destination)};
            return read_json_object(from, fields, unknown);
          }};
}

JsonField republish_field(std::optional<RepublishConfig>& out, UnknownKeys unknown) {
  return {"republish", [&out, unknown](const JsonElement& from) -> Status {
            if (from.is_null()) return {};
            RepublishConfig& republish = out.emplace();
            const std::array fields{JsonField::into("src", republish.source),
                                    JsonField::into("dest", republish.destination),
                                    JsonField::into("headers_only", republish.headers_only)};
            return read_json_object(from, fields, unknown);
          }};
}

}  // namespace

Result<StreamRequest> parse_stream_request(std::string_view json, UnknownKeys unknown) {
  StreamRequest request;
  StreamConfig& c = request.config;
  const std::array fields{
      JsonField::into("name", c.name),
      JsonField::into("description", c.description),
      JsonField::into("subjects", c.subjects),
      enum_field("retention", c.retention, kRetentions),
      JsonField::into("max_consumers", c.max_consumers),
      JsonField::into("max_msgs", c.max_msgs),
      JsonField::into("max_bytes", c.max_bytes),
      JsonField::into("max_age", c.max_age),
      JsonField::into("max_msgs_per_subject", c.max_msgs_per_subject),
      JsonField::into("max_msg_size", c.max_msg_size),
      enum_field("discard", c.discard, kDiscards),
      enum_field("storage", c.storage, kStorages),
      JsonField::into("num_replicas", c.num_replicas),
      JsonField::into("no_ack", c.no_ack),
      JsonField::into("duplicate_window", c.duplicate_window),
      placement_field(c.placement, unknown),
      mirror_field(c.mirror, unknown),
      sources_field(c.sources, unknown),
      compression_field(c.compression),
      JsonField::into("first_seq", c.first_seq),
      subject_transform_field(c.subject_transform, unknown),
      republish_field(c.republish, unknown),
      JsonField::into("allow_direct", c.allow_direct),
      JsonField::into("mirror_direct", c.mirror_direct),
      JsonField::into("discard_new_per_subject", c.discard_new_per_subject),
      JsonField::into("sealed", c.sealed),
      JsonField::into("deny_delete", c.deny_delete),
      JsonField::into("deny_purge", c.deny_purge),
      JsonField::into("allow_rollup_hdrs", c.allow_rollup_hdrs),
      consumer_limits_field(c.consumer_limits, unknown),
      JsonField::into("allow_msg_ttl", c.allow_msg_ttl),
      JsonField::into("subject_delete_marker_ttl", c.subject_delete_marker_ttl),
      JsonField::into("allow_msg_counter", c.allow_msg_counter),
      JsonField::into("allow_atomic", c.allow_atomic),
      JsonField::into("allow_msg_schedules", c.allow_msg_schedules),
      enum_field("persist_mode", c.persist_mode, kPersistModes),
      JsonField::into("allow_batched", c.allow_batched),
      JsonField::into("metadata", c.metadata),
      JsonField::into("pedantic", request.pedantic),
  };
  if (auto status = parse_json_object(json, fields, unknown); !status)
    return std::unexpected(status.error());
  for (std::string_view key : kReservedMetadata) c.metadata.erase(std::string(key));
  if (c.placement == Placement{}) c.placement.reset();
  return request;
}

}  // namespace sluice
