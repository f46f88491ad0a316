// Numbers with units, and ${NAME}, as they stand in a configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

/// A plain decimal integer; no leading zero ("010" means 8 to some and 10 to others), no hex.
Result<int64_t> parse_integer(std::string_view text);
/// Bytes: "65536", "64KiB", "8mb". KB, MB, GB, TB are powers of 1024 as well (as nats-server has
/// it); upper or lower case.
Result<int64_t> parse_size(std::string_view text);
/// "30s", "1h30m", "2d", "1.5s", "0": numbers with ns, us, ms, s, m, h, d, w.
Result<std::chrono::nanoseconds> parse_time(std::string_view text);

/// Bytes a second: "200KiB/s", or bits as links are sold, in powers of 1000: "512kbit/s", "10Mbit/s".
Result<int64_t> parse_rate(std::string_view text);
/// Minutes since midnight: "00:00" to "24:00".
Result<std::chrono::minutes> parse_time_of_day(std::string_view text);

std::string format_size(int64_t bytes);
std::string format_time(std::chrono::nanoseconds time);

/// Value of an environment variable; nullopt = not set.
using Environment = std::function<std::optional<std::string>(const std::string&)>;
Environment process_environment();

/// Puts variables in place of ${NAME} and ${NAME:-default}; "$${" stands for "${". A variable that
/// is not set and has no default is an error.
Result<std::string> expand_variables(std::string_view text, const Environment& environment);

}  // namespace sluice
