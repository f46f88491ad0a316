#include "gateway/cli/verify_words.h"

#include <fmt/format.h>

#include "config/problems.h"
#include "gateway/cli/replicator_file.h"
#include "gateway/cli/session.h"
#include "replicator/copy_subjects.h"

namespace sluice {
namespace {

std::unexpected<Error> wrong(std::string what) { return fail(Errc::kInvalidArgument, std::move(what)); }

Result<ReplicatorOptions> load_replicator(const std::string& path) {
  Problems problems(path);
  ReplicatorOptions options = load_replicator_file(path, problems).replicator;
  if (!problems.empty()) return wrong("the configuration can't be used\n" + problems.to_text());
  return options;
}

Result<StreamCopyOptions> find_copy(const ReplicatorOptions& replicator, const VerifyWords& words) {
  std::vector<const StreamCopyOptions*> found;
  std::vector<std::string> names;
  for (const StreamCopyOptions& copy : replicator.streams) {
    if (copy.stream != words.stream || (!words.copy.empty() && copy.name != words.copy)) continue;
    found.push_back(&copy);
    names.push_back(copy.name);
  }
  if (found.empty()) return wrong(fmt::format("{} configures no such copy of {}", words.config_path, words.stream));
  if (found.size() > 1) return wrong(fmt::format("--copy must name one of the copies of {}: {}", words.stream, fmt::join(names, ", ")));
  return *found.front();
}

/// An end that is the daemon itself is reached as any client of this machine does.
void take_link(VerifySideWords& side, const LinkOptions& link, const std::string& config_path) {
  if (!side.session.server.empty()) return;
  if (link.embedded()) {
    side.session.config_path = config_path;
    return;
  }
  side.configured = link;
  side.configured->name = "sluice verify";
}

Status take_configured_copy(VerifyWords& words) {
  const auto replicator = load_replicator(words.config_path);
  if (!replicator) return std::unexpected(replicator.error());
  auto copy = find_copy(*replicator, words);
  if (!copy) return std::unexpected(copy.error());
  take_link(words.source, copy->source, words.config_path);
  take_link(words.target, copy->target, words.config_path);
  if (words.target_stream.empty()) words.target_stream = copy->target_stream;
  if (words.filters.empty()) words.filters = copy->filters();
  if (words.max_hops == 0) words.max_hops = copy->max_hops;
  if (words.rewrite.empty() && !words.ignore_subjects) words.rewrite = rewrite_rules(*copy);
  if (words.replicator.empty() && words.hops <= 1) words.replicator = replicator->name;
  if (words.worker.empty() && words.hops <= 1) words.worker = copy->name;
  words.sampled = words.sampled || (copy->inspect.enabled() && copy->inspect.duration.count() != 0);
  return {};
}

Status check_rewrite(const VerifyWords& words) {
  if (words.rewrite.empty()) return {};
  if (words.ignore_subjects) return wrong("subjects are rewritten or ignored: not both");
  const auto rewrite = SubjectRewrite::make(words.rewrite);
  if (!rewrite) return std::unexpected(rewrite.error());
  if (rewrite->uses_random())
    return wrong("a transform by chance gives other subjects each time: they can't be compared (--ignore-subjects)");
  return {};
}

Status check_heal(const VerifyWords& words) {
  if (words.heal.empty()) return words.dry_run ? Status(wrong("--dry-run goes with --heal")) : Status();
  if (words.heal != kHealMissing && words.heal != kHealReplace) return wrong("--heal, --heal=missing or --heal=replace");
  if (words.ignore_subjects) return wrong("--heal must know what the copy makes of subjects: not with --ignore-subjects");
  if (words.hops > 1) return wrong("--heal goes over one hop: heal each hop, from the source on");
  if (words.sampled && words.heal != kHealReplace)
    return wrong("--heal can't tell what a sampled copy has lost from what it leaves out; --heal=replace mends what it holds");
  return {};
}

}  // namespace

Status settle(VerifyWords& words) {
  if (!words.copy.empty() && words.config_path.empty()) return wrong("--copy goes with --config");
  for (const std::string& transform : words.transforms) {
    const size_t equals = transform.find('=');
    if (equals == std::string::npos) return wrong(fmt::format("--subject-transform {}: <source>=<destination>", transform));
    words.rewrite.transforms.emplace_back(transform.substr(0, equals), transform.substr(equals + 1));
  }
  if (!words.config_path.empty()) {
    if (auto taken = take_configured_copy(words); !taken) return taken;
  } else if (words.source.session.server.empty() || words.target.session.server.empty()) {
    return wrong("--source and --target are needed, or --config with the copy's configuration");
  }
  if (words.hops > 1 && words.max_hops != 0 && words.max_hops < words.hops)
    return wrong("copies with such a --max-hops pass nothing on over so many --hops");
  if (auto status = check_rewrite(words); !status) return status;
  return check_heal(words);
}

}  // namespace sluice
