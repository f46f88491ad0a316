#include "proof/copy_marks.h"

#include <algorithm>
#include <array>

#include "base/headers.h"
#include "base/parse_number.h"

namespace sluice {
namespace {

bool is_worker(std::string_view worker, std::string_view wanted) {
  return worker.starts_with(wanted) && (worker.size() == wanted.size() || worker.substr(wanted.size()) == kHealedWorkerSuffix);
}

/// "<stream> <sequence> <replicator> <worker> <time>" that the rule asks for.
std::optional<StreamSeq> sequence_by(std::string_view mark, const MarkRule& rule) {
  std::array<std::string_view, 5> words;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t blank = mark.find(' ');
    if ((blank == mark.npos) != (i + 1 == words.size())) return std::nullopt;
    words[i] = mark.substr(0, blank);
    mark.remove_prefix(std::min(mark.size(), words[i].size() + 1));
  }
  if (words[0] != rule.stream || (!rule.replicator.empty() && words[2] != rule.replicator)) return std::nullopt;
  if (!rule.worker.empty() && !is_worker(words[3], rule.worker)) return std::nullopt;
  const auto seq = parse_decimal<uint64_t>(words[1]);
  return seq ? std::optional(StreamSeq(*seq)) : std::nullopt;
}

/// "<stream>[:<hash>] <sequence> …" of a sourced stream.
std::optional<StreamSeq> sequence_sourced(std::string_view mark, std::string_view stream) {
  const size_t blank = mark.find(' ');
  if (blank == mark.npos) return std::nullopt;
  const std::string_view name = mark.substr(0, blank);
  if (name.substr(0, name.find(':')) != stream) return std::nullopt;
  const std::string_view rest = mark.substr(blank + 1);
  const auto seq = parse_decimal<uint64_t>(rest.substr(0, rest.find(' ')));
  return seq ? std::optional(StreamSeq(*seq)) : std::nullopt;
}

}  // namespace

bool is_copiers_own(std::string_view name) {
  return name == kProvenanceHeader || name == kPositionHeader || name == kOriginalIdHeader || name == kSourcedHeader ||
         name == "Nats-Msg-Id" || name.starts_with("Nats-Expected-") || name.starts_with("Nats-Batch-");
}

CopyMark find_copy_mark(std::string_view headers, const MarkRule& rule) {
  CopyMark found;
  std::optional<StreamSeq> sourced;
  each_header(headers, [&](std::string_view name, std::string_view) { found.hops += name == kProvenanceHeader ? 1 : 0; });
  uint32_t from_newest = found.hops;
  each_header(headers, [&](std::string_view name, std::string_view value) {
    if (name == kProvenanceHeader) {
      const bool asked_for = rule.hop == 0 || rule.hop == from_newest;
      --from_newest;
      if (auto seq = asked_for ? sequence_by(value, rule) : std::nullopt) found.origin = seq;
    } else if (name == kSourcedHeader && !sourced && !rule.only_replicators()) {
      sourced = sequence_sourced(value, rule.stream);
    }
  });
  if (!found.origin) found.origin = sourced;
  return found;
}

}  // namespace sluice
