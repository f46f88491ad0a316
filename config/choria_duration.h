// Durations as Choria's programs write them.
#pragma once

#include <chrono>
#include <string_view>

#include "base/error.h"

namespace sluice {

/// "30s", "1h30m", "500ms", and with one number and one unit "1.5d", "2w", "6M" (months of 30 days), "1y"; the
/// latter are cut to whole hours. Empty = 0. kInvalidArgument for anything else, bare numbers too.
Result<std::chrono::nanoseconds> parse_choria_duration(std::string_view text);

}  // namespace sluice
