// Checks of `mirror` and `sources`. The order is the reference's: when several things are wrong, clients
// and tests see the same first complaint.
#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "stream/stream_config.h"
#include "stream/stream_source.h"
#include "subject/subject.h"
#include "subject/transform.h"

namespace sluice {
namespace {

constexpr std::string_view kApiPrefix = "$JS.API";

std::unexpected<Error> no(uint16_t code, std::string detail = {}) {
  return fail_api(Errc::kInvalidArgument, code, std::move(detail));
}

/// The same checks of a mirror and a source have codes of their own.
struct Codes {
  uint16_t filter_and_transforms, transform_source, transform_destination, overlap, consumer;
};
constexpr Codes kMirrorCodes{10150, 10151, 10154, 10152, 10213};
constexpr Codes kSourceCodes{10144, 10145, 10146, 10147, 10215};

bool is_literal(std::string_view subject) {
  return is_valid_subject(subject) && !has_wildcards(subject);
}

bool is_valid_source_consumer(const StreamSource& s) {
  return is_valid_asset_name(s.consumer->name) && is_literal(s.consumer->deliver_subject) &&
         s.opt_start_seq == 0 && !s.opt_start_time && s.filter_subject.empty();
}

Status check_transforms(const StreamSource& source, const Codes& codes) {
  const auto& several = source.subject_transforms;
  for (size_t i = 0; i < several.size(); ++i) {
    const SubjectMapping& mapping = several[i];
    if (!mapping.source.empty() && !is_valid_subject(mapping.source))
      return no(codes.transform_source, fmt::format("invalid subject {}", mapping.source));
    if (auto made = SubjectTransform::make(mapping.source, mapping.destination); !made)
      return no(codes.transform_destination, made.error().detail);
    for (size_t k = 0; k < i; ++k) {
      const auto filter = [](const SubjectMapping& m) { return m.source.empty() ? ">" : m.source; };
      if (subjects_collide(filter(several[k]), filter(mapping))) return no(codes.overlap);
    }
  }
  return {};
}

bool smaller_than_origin(const StreamConfig& config, const StreamSource& source,
                         const StreamLookup& find) {
  if (source.external || config.max_msg_size <= 0) return false;
  const StreamConfig* origin = find ? find(source.name) : nullptr;
  return origin != nullptr && origin->max_msg_size > 0 &&
         config.max_msg_size < origin->max_msg_size;
}

Status check_mirror(StreamConfig& c, bool pedantic, const StreamLookup& find) {
  const StreamSource& mirror = *c.mirror;
  if (c.first_seq != 0) return no(10143);
  if (!c.subjects.empty()) return no(10034);
  if (!c.sources.empty()) return no(10031);
  if (c.allow_msg_counter) return no(10173);
  if (c.allow_atomic) return no(10198);
  if (c.allow_batched) return no(10209);
  if (c.allow_msg_schedules) return no(10186);
  if (mirror.consumer && !is_valid_source_consumer(mirror)) return no(kMirrorCodes.consumer);
  if (!mirror.filter_subject.empty() && !mirror.subject_transforms.empty())
    return no(kMirrorCodes.filter_and_transforms);
  if (c.subject_delete_marker_ttl.count() != 0)
    return no(10052, "subject delete markers forbidden on mirrors");
  if (auto status = check_transforms(mirror, kMirrorCodes); !status) return status;
  if (mirror.external) return {};
  if (!is_valid_asset_name(mirror.name)) return no(10142);
  if (smaller_than_origin(c, mirror, find)) return no(10030);
  const StreamConfig* origin = find ? find(mirror.name) : nullptr;
  if (origin == nullptr || origin->allow_direct == c.mirror_direct) return {};
  if (pedantic) return no(10157, "origin stream has direct get set, mirror has it disabled");
  c.mirror_direct = origin->allow_direct;
  return {};
}

/// Two sources of one stream are the same when they ask the same of the same origin.
bool same_source(const StreamSource& a, const StreamSource& b) {
  const auto api = [](const StreamSource& s) { return s.external ? s.external->api : std::string(); };
  return a.name == b.name && api(a) == api(b) && a.filter_subject == b.filter_subject &&
         a.subject_transforms == b.subject_transforms;
}

/// A durable consumer of an origin serves one source.
bool same_source_consumer(const StreamSource& a, const StreamSource& b) {
  const auto api = [](const StreamSource& s) { return s.external ? s.external->api : std::string(); };
  return a.consumer && b.consumer && a.name == b.name && api(a) == api(b) &&
         a.consumer->name == b.consumer->name;
}

Status check_source(const StreamConfig& c, size_t index, const StreamLookup& find) {
  const StreamSource& source = c.sources[index];
  if (!is_valid_asset_name(source.name)) return no(10141);
  for (size_t i = 0; i < index; ++i)
    if (same_source(c.sources[i], source)) return no(10140);
  if (!source.filter_subject.empty() && !source.subject_transforms.empty())
    return no(kSourceCodes.filter_and_transforms);
  if (auto status = check_transforms(source, kSourceCodes); !status) return status;
  if (source.consumer) {
    if (!is_valid_source_consumer(source)) return no(kSourceCodes.consumer);
    for (size_t i = 0; i < index; ++i)
      if (same_source_consumer(c.sources[i], source)) return no(10216);
  }
  if (smaller_than_origin(c, source, find)) return no(10046);
  return {};
}

Status check_external(const ExternalStream& external) {
  if (has_wildcards(external.deliver)) return no(10024, external.deliver);
  if (!external.deliver.empty() && !is_valid_subject(external.deliver))
    return no(10052, fmt::format("stream external deliver prefix \"{}\" must be a valid subject",
                                 external.deliver));
  if (external.api.empty()) return {};
  if (!is_literal(external.api))
    return no(10052, fmt::format("stream external api prefix \"{}\" must be a valid subject without "
                                 "wildcards",
                                 external.api));
  if (external.api == kApiPrefix) return no(10021, fmt::format("{}\n{}", external.api, kApiPrefix));
  return {};
}

/// Origins of this account, one after the other. A stream that comes back to itself is a cycle when
/// the last hop takes what the stream's own subjects hold, or everything.
class CycleSearch {
 public:
  CycleSearch(const StreamConfig& start, const StreamLookup& find) : start_(start), find_(find) {}

  bool found(const StreamConfig& at) {
    if (at.mirror && follows(*at.mirror)) return true;
    return std::any_of(at.sources.begin(), at.sources.end(),
                       [this](const StreamSource& s) { return follows(s); });
  }

 private:
  bool follows(const StreamSource& source) {
    if (source.external) return false;
    if (source.name == start_.name) return comes_back(source);
    if (!seen_.insert(source.name).second) return false;
    const StreamConfig* origin = find_ ? find_(source.name) : nullptr;
    return origin != nullptr && found(*origin);
  }
  bool comes_back(const StreamSource& source) const {
    const std::vector<std::string> filters = source.filters();
    if (filters.empty()) return true;
    for (const std::string& filter : filters)
      for (const std::string& subject : start_.subjects)
        if (subjects_collide(filter, subject)) return true;
    return false;
  }

  const StreamConfig& start_;
  const StreamLookup& find_;
  std::set<std::string> seen_;  ///< bounds the walk: each stream once
};

Status check_filters(const StreamConfig& c) {
  const auto bad = [](const StreamSource& s) {
    return !s.filter_subject.empty() && !is_valid_subject(s.filter_subject);
  };
  if (c.mirror && bad(*c.mirror))
    return no(10049, fmt::format("subject filter '{}' for the mirror invalid subject",
                                 c.mirror->filter_subject));
  for (const StreamSource& source : c.sources)
    if (bad(source))
      return no(10049, fmt::format("subject filter '{}' for the source: invalid subject",
                                   source.filter_subject));
  return {};
}

}  // namespace

Status check_stream_sources(StreamConfig& c, bool pedantic, const StreamLookup& find) {
  if (c.mirror) {
    if (auto status = check_mirror(c, pedantic, find); !status) return status;
  }
  if (!c.sources.empty() && c.allow_msg_schedules) return no(10187);
  for (size_t i = 0; i < c.sources.size(); ++i)
    if (auto status = check_source(c, i, find); !status) return status;
  if (c.mirror && c.mirror->external)
    if (auto status = check_external(*c.mirror->external); !status) return status;
  for (const StreamSource& source : c.sources)
    if (source.external)
      if (auto status = check_external(*source.external); !status) return status;
  if (CycleSearch(c, find).found(c)) return no(10052, "detected cycle");
  return check_filters(c);
}

}  // namespace sluice
