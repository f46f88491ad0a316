#include "proof/copy_marks.h"

#include <algorithm>

#include "base/headers.h"
#include "base/parse_number.h"

namespace sluice {
namespace {

/// "<stream>[:<more>] <sequence>[ …]" of `stream`.
std::optional<StreamSeq> sequence_of(std::string_view mark, std::string_view stream, bool hashed) {
  const size_t blank = mark.find(' ');
  if (blank == mark.npos) return std::nullopt;
  std::string_view name = mark.substr(0, blank);
  if (hashed) name = name.substr(0, name.find(':'));
  if (name != stream) return std::nullopt;
  const std::string_view rest = mark.substr(blank + 1);
  const auto seq = parse_decimal<uint64_t>(rest.substr(0, rest.find(' ')));
  if (!seq) return std::nullopt;
  return StreamSeq(*seq);
}

}  // namespace

bool is_copiers_own(std::string_view name) {
  return name == kProvenanceHeader || name == kPositionHeader || name == kOriginalIdHeader || name == kSourcedHeader ||
         name == "Nats-Msg-Id" || name.starts_with("Nats-Expected-") || name.starts_with("Nats-Batch-");
}

CopyMark find_copy_mark(std::string_view headers, std::string_view stream) {
  CopyMark found;
  std::optional<StreamSeq> sourced;
  each_header(headers, [&](std::string_view name, std::string_view value) {
    if (name == kProvenanceHeader) {
      ++found.hops;
      const bool whole = std::ranges::count(value, ' ') == 4;
      if (auto seq = whole ? sequence_of(value, stream, false) : std::nullopt) found.origin = seq;
    } else if (name == kSourcedHeader && !sourced) {
      sourced = sequence_of(value, stream, true);
    }
  });
  if (!found.origin) found.origin = sourced;
  return found;
}

}  // namespace sluice
