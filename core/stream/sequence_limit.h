// Where the sequences of a stream end.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace sluice {

/// The last sequence that is given out, but for what is under way then. Beyond it lies room for that, for a batch, and
/// for sums of a sequence and a count: none may come round to 0.
inline constexpr StreamSeq kLastStreamSeq{UINT64_MAX - (uint64_t{1} << 24)};

}  // namespace sluice
