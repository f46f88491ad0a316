#include "server/subject_mappings.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "subject/subject.h"

namespace sluice {
namespace {

Status check_weights(const MappingOptions& mapping) {
  std::map<std::string_view, uint64_t> totals;
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const MappingDestination& d : mapping.destinations) {
    if (!seen.emplace(d.cluster, d.subject).second)
      return fail(Errc::kInvalidArgument, fmt::format("duplicate entry for \"{}\"", d.subject));
    if (d.weight > 100)
      return fail(Errc::kInvalidArgument, "individual weights need to be <= 100");
    if ((totals[d.cluster] += d.weight) > 100)
      return fail(Errc::kInvalidArgument, "total weight needs to be <= 100");
  }
  return {};
}

}  // namespace

Result<SubjectMappings::Rule> SubjectMappings::make_rule(const MappingOptions& mapping,
                                                         std::string_view cluster) {
  if (!is_valid_subject(mapping.source)) return fail(Errc::kInvalidArgument, "invalid subject");
  if (auto fine = check_weights(mapping); !fine) return std::unexpected(fine.error());
  const bool scoped =
      !cluster.empty() && std::ranges::any_of(mapping.destinations, [&](const auto& d) {
        return d.cluster == cluster;
      });
  Rule rule{mapping.source, !has_wildcards(mapping.source), {}};
  uint32_t total = 0;
  bool names_source = false;
  for (const MappingDestination& d : mapping.destinations) {
    auto transform = SubjectTransform::make(mapping.source, d.subject);
    if (!transform) return std::unexpected(transform.error());
    if (d.cluster != (scoped ? cluster : std::string_view())) continue;
    total += d.weight;
    const bool same = d.subject == mapping.source;
    names_source = names_source || same;
    rule.destinations.push_back({total, same, std::move(*transform)});
  }
  // What the weights leave over stays as it is; when the source is named it is lost on purpose.
  if (total < 100 && !names_source) rule.destinations.push_back({100, true, std::nullopt});
  return rule;
}

Result<SubjectMappings> SubjectMappings::make(const std::vector<MappingOptions>& mappings,
                                              std::string_view cluster) {
  SubjectMappings all;
  for (const MappingOptions& mapping : mappings) {
    auto rule = make_rule(mapping, cluster);
    if (!rule) return std::unexpected(rule.error());
    const auto before = std::ranges::find(all.rules_, rule->source, &Rule::source);
    if (before != all.rules_.end()) {
      *before = std::move(*rule);
    } else {
      all.rules_.push_back(std::move(*rule));
    }
  }
  return all;
}

/// The first that matches; nullptr = none.
const SubjectMappings::Rule* SubjectMappings::rule_of(std::string_view subject) const {
  const auto rule = std::ranges::find_if(rules_, [subject](const Rule& r) {
    return r.literal ? r.source == subject : subject_matches(r.source, subject);
  });
  return rule == rules_.end() ? nullptr : &*rule;
}

MappingOutcome SubjectMappings::map(std::string_view subject, Random& random,
                                    std::string& out) const {
  const Rule* rule = rule_of(subject);
  if (rule == nullptr) return MappingOutcome::kUnchanged;
  const auto die = static_cast<uint32_t>(
      rule->destinations.size() == 1 && rule->destinations.front().up_to == 100
          ? 0
          : random.below(100));
  for (const Destination& d : rule->destinations) {
    if (die >= d.up_to) continue;
    if (d.same) return MappingOutcome::kUnchanged;
    const uint64_t dice = d.transform->uses_random() ? random.u64() : 0;
    return d.transform->map(subject, dice, out) ? MappingOutcome::kMapped
                                                : MappingOutcome::kUnchanged;
  }
  return MappingOutcome::kDropped;
}

}  // namespace sluice
