// Defaults and checks of a stream's configuration. The order is the reference's: when several things
// are wrong, clients and tests see the same first complaint.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "stream/sequence_limit.h"
#include "stream/stream_config.h"
#include "subject/subject.h"
#include "subject/transform.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;
constexpr nanoseconds kSmallestDuration = std::chrono::milliseconds(100);

std::unexpected<Error> invalid(std::string text) {
  return fail_api(Errc::kInvalidArgument, 10052, std::move(text));
}
std::unexpected<Error> pedantic(std::string text) {
  return fail_api(Errc::kInvalidArgument, 10157, std::move(text));
}

Status check_names(const StreamConfig& c) {
  if (c.name.size() > kMaxNameLength_bytes)
    return invalid("stream name is too long, maximum allowed is 255");
  if (!is_valid_asset_name(c.name))
    return invalid(
        "stream name is required and can not contain '.', '*', '>', '\\', '/'");
  if (c.description.size() > kMaxDescription_bytes)
    return invalid("stream description is too long, maximum allowed is 4096");
  size_t metadata_bytes = 0;
  for (const auto& [key, value] : c.metadata) metadata_bytes += key.size() + value.size();
  if (metadata_bytes > kMaxMetadata_bytes)
    return invalid("stream metadata exceeds maximum size of 131072 bytes");
  return {};
}

template <class T>
Status normalise_limit(T& limit, bool is_pedantic, const char* name) {
  if (limit >= -1 && limit != 0) return {};
  if (limit < -1 && is_pedantic) return pedantic(fmt::format("{} must be set to -1", name));
  limit = -1;
  return {};
}

Status normalise_limits(StreamConfig& c, bool is_pedantic) {
  if (auto s = normalise_limit(c.max_msgs, is_pedantic, "max_msgs"); !s) return s;
  if (auto s = normalise_limit(c.max_msgs_per_subject, is_pedantic, "max_msgs_per_subject"); !s)
    return s;
  if (auto s = normalise_limit(c.max_bytes, is_pedantic, "max_bytes"); !s) return s;
  if (auto s = normalise_limit(c.max_msg_size, is_pedantic, "max_msg_size"); !s) return s;
  return normalise_limit(c.max_consumers, is_pedantic, "max_consumers");
}

Status default_duplicate_window(StreamConfig& c, nanoseconds server_limit, bool is_pedantic) {
  if (c.duplicate_window.count() != 0 || c.mirror || !c.sources.empty()) return {};
  nanoseconds window = kDefaultDuplicateWindow;
  if (server_limit.count() > 0 && window > server_limit) {
    if (is_pedantic) return pedantic("duplicate window limits are higher than current limits");
    window = server_limit;
  }
  if (c.max_age.count() > 0 && window > c.max_age) {
    if (is_pedantic) return pedantic("duplicate window cannot be bigger than max age");
    window = c.max_age;
  }
  c.duplicate_window = window;
  return {};
}

Status check_durations(StreamConfig& c, nanoseconds server_limit, bool is_pedantic) {
  if (c.max_age.count() < 0) return invalid("max age can not be negative");
  if (c.max_age.count() != 0 && c.max_age < kSmallestDuration)
    return invalid("max age needs to be >= 100ms");
  if (auto s = default_duplicate_window(c, server_limit, is_pedantic); !s) return s;
  if (c.duplicate_window.count() < 0) return invalid("duplicates window can not be negative");
  // The misspelling is the reference's.
  if (c.max_age.count() != 0 && c.duplicate_window > c.max_age)
    return invalid("duplicates window can not be larger then max age");
  if (server_limit.count() > 0 && c.duplicate_window > server_limit)
    return invalid(fmt::format("duplicates window can not be larger then server limit of {}",
                               format_go_duration(server_limit)));
  if (c.duplicate_window.count() != 0 && c.duplicate_window < kSmallestDuration)
    return invalid("duplicates window needs to be >= 100ms");
  return {};
}

Status check_discard(const StreamConfig& c) {
  if (!c.discard_new_per_subject) return {};
  if (c.discard != Discard::kNew)
    return invalid("discard new per subject requires discard new policy to be set");
  if (c.max_msgs_per_subject <= 0)
    return invalid("discard new per subject requires max msgs per subject > 0");
  return {};
}

bool touches_jetstream_api(std::string_view subject) {
  return (subjects_collide(subject, "$JS.>") || subjects_collide(subject, "$JSC.>") ||
          subjects_collide(subject, "$NRG.>")) &&
         !is_subset(subject, "$JS.EVENT.>");
}

bool touches_system_api(std::string_view subject) {
  return subjects_collide(subject, "$SYS.>") && !is_subset(subject, "$SYS.ACCOUNT.>");
}

Status check_persist_mode(const StreamConfig& c) {
  if (c.persist_mode != PersistMode::kAsync) return {};
  if (c.storage != StorageKind::kFile)
    return invalid("async persist mode is only supported on file storage");
  if (c.num_replicas > 1)
    return invalid("async persist mode is not supported on replicated streams");
  if (c.allow_atomic)
    return invalid("async persist mode is not supported with atomic batch publish");
  return {};
}

Status check_counter(const StreamConfig& c) {
  if (!c.allow_msg_counter) return {};
  if (c.discard == Discard::kNew) return invalid("counter stream cannot use discard new");
  if (c.allow_msg_ttl) return invalid("counter stream cannot use message TTLs");
  if (c.allow_msg_schedules) return invalid("counter stream cannot use message schedules");
  if (c.retention != Retention::kLimits)
    return invalid("counter stream can only use limits retention");
  return {};
}

/// Delete markers roll up their subject and expire, so what these need is switched on.
Status normalise_delete_markers(StreamConfig& c, bool is_pedantic) {
  if (c.subject_delete_marker_ttl.count() == 0) return {};
  if (c.subject_delete_marker_ttl.count() < 0)
    return invalid("subject delete marker TTL must not be negative");
  if (c.subject_delete_marker_ttl < std::chrono::seconds(1))
    return invalid("subject delete marker TTL must be at least 1 second");
  if (is_pedantic && !c.allow_msg_ttl)
    return invalid("subject delete marker cannot be set if message TTLs are disabled");
  if (is_pedantic && !c.allow_rollup_hdrs)
    return invalid("subject delete marker cannot be set if roll-ups are disabled");
  c.allow_msg_ttl = true;
  c.allow_rollup_hdrs = true;
  c.deny_purge = false;
  return {};
}

/// A schedule rolls up its subject: one schedule a subject.
Status normalise_schedules(StreamConfig& c, bool is_pedantic) {
  if (!c.allow_msg_schedules) return {};
  if (c.discard == Discard::kNew) return invalid("message scheduling cannot use discard new");
  if (is_pedantic && !c.allow_rollup_hdrs)
    return invalid("message scheduling cannot be set if roll-ups are disabled");
  c.allow_rollup_hdrs = true;
  c.deny_purge = false;
  return {};
}

Status check_subjects(StreamConfig& c) {
  if (c.subjects.empty() && !c.mirror && c.sources.empty()) c.subjects.push_back(c.name);
  for (size_t i = 0; i < c.subjects.size(); ++i) {
    const std::string& subject = c.subjects[i];
    if (!is_valid_subject(subject)) return invalid("invalid subject");
    if (!c.no_ack) {
      if (subject == ">") return invalid("capturing all subjects requires no-ack to be true");
      if (touches_jetstream_api(subject))
        return invalid("subjects that overlap with jetstream api require no-ack to be true");
      if (touches_system_api(subject))
        return invalid("subjects that overlap with system api require no-ack to be true");
    }
    if (subject == ">" && c.num_replicas > 1)
      return invalid("capturing all subjects requires replicas of 1");
    for (size_t j = 0; j < i; ++j) {
      if (subjects_collide(c.subjects[j], subject))
        return invalid(fmt::format("subject \"{}\" overlaps with \"{}\"", c.subjects[j], subject));
    }
  }
  return {};
}

Status check_republish(StreamConfig& c, bool is_pedantic) {
  RepublishConfig& r = *c.republish;
  if (r.source.empty()) {
    if (is_pedantic) return pedantic("republish source can not be empty");
    r.source = ">";
  }
  // "All to all" of a stream that transforms everything it takes means the transformed subjects.
  if (r.source == ">" && r.destination == ">" && c.subjects.size() == 1 && c.subject_transform &&
      c.subject_transform->source == c.subjects.front()) {
    if (is_pedantic) return pedantic("implicit republish based on subject transform");
    r.source = r.destination = c.subject_transform->destination;
  }
  for (const std::string& subject : c.subjects)
    if (subjects_collide(r.destination, subject))
      return invalid("stream configuration for republish destination forms a cycle");
  if (auto made = SubjectTransform::make(r.source, r.destination); !made && !r.destination.empty())
    return invalid(
        fmt::format("stream configuration for republish with transform from '{}' to '{}' not valid",
                    r.source, r.destination));
  return {};
}

}  // namespace

Status check_subject_mappings(StreamConfig& c, bool is_pedantic) {
  if (c.subject_transform) {
    const SubjectMapping& mapping = *c.subject_transform;
    if (!mapping.source.empty() && !is_valid_subject(mapping.source))
      return fail_api(Errc::kInvalidArgument, 10155,
                      fmt::format("invalid subject {}", mapping.source));
    if (auto made = SubjectTransform::make(mapping.source, mapping.destination); !made)
      return fail_api(Errc::kInvalidArgument, 10156, made.error().detail);
  }
  return c.republish ? check_republish(c, is_pedantic) : Status{};
}

bool is_valid_asset_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameLength_bytes) return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '\x7f' || c == '.' || c == '*' || c == '>' ||
           c == '/' || c == '\\';
  });
}

namespace {

Status check_in_order(StreamConfig& c, nanoseconds max_duplicate_window, bool is_pedantic,
                      const StreamLookup& find) {
  if (auto s = check_names(c); !s) return s;
  if (c.first_seq > kLastStreamSeq.value()) return invalid(fmt::format("first sequence is beyond {}", kLastStreamSeq.value()));
  if (c.num_replicas == 0) c.num_replicas = 1;
  if (c.num_replicas > kMaxReplicas) return invalid("maximum replicas is 5");
  if (c.num_replicas < 0) return fail_api(Errc::kInvalidArgument, 10133, "");
  if (auto s = normalise_limits(c, is_pedantic); !s) return s;
  if (auto s = check_durations(c, max_duplicate_window, is_pedantic); !s) return s;
  if (c.deny_purge && c.allow_rollup_hdrs)
    return invalid("roll-ups require the purge permission");
  if (auto s = check_counter(c); !s) return s;
  if (auto s = check_discard(c); !s) return s;
  if (auto s = normalise_delete_markers(c, is_pedantic); !s) return s;
  if (auto s = normalise_schedules(c, is_pedantic); !s) return s;
  if (auto s = check_persist_mode(c); !s) return s;
  if (auto s = check_stream_sources(c, is_pedantic, find); !s) return s;
  if (auto s = check_subjects(c); !s) return s;
  if (auto s = check_subject_mappings(c, is_pedantic); !s) return s;
  if (c.placement && !c.placement->preferred.empty())
    return invalid("preferred server not permitted in placement");
  if (c.num_replicas > 1) return fail_api(Errc::kUnsupported, 10074, "");
  return {};
}

}  // namespace

Result<StreamConfig> check_stream_config(const StreamRequest& request,
                                         nanoseconds max_duplicate_window,
                                         const StreamLookup& find) {
  StreamConfig c = request.config;
  if (auto s = check_in_order(c, max_duplicate_window, request.pedantic, find); !s)
    return std::unexpected(s.error());
  return c;
}

Result<StreamConfig> parse_stream_config(std::string_view json, nanoseconds max_duplicate_window) {
  auto request = parse_stream_request(json);
  if (!request) return std::unexpected(request.error());
  return check_stream_config(*request, max_duplicate_window);
}

}  // namespace sluice
