// sluice verify --heal: brings what a copy lacks.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gateway/cli/verify_side.h"

namespace sluice {

struct HealReport {
  uint64_t healed = 0;
  std::vector<std::pair<StreamSeq, std::string>> left{};  ///< not healed, and why
};

/// One message after the other: read at the source, written at the target's end under the same subject, acknowledged.
/// Left out, with words: what would act once more, what an older value would push aside (a subject of which the target
/// keeps so many and has a newer one), what the target knows already, what has gone at the source.
/// @param dry_run nothing is written; `healed` is what would be.
/// @return an error when going on makes no sense: what was healed until then stays.
Result<HealReport> heal(VerifySide& source, VerifySide& target, const std::vector<StreamSeq>& missing, bool dry_run);

}  // namespace sluice
