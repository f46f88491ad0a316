// Times and durations as the NATS world writes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// Nanoseconds since 1970 UTC as they stand in records and JSON. kZeroTime is Go's zero time.
using WallNanos = int64_t;
inline constexpr WallNanos kZeroTime = INT64_MIN;

/// RFC 3339, UTC, up to nine fractional digits, trailing zeros cut ("RFC3339Nano");
/// kZeroTime gives "0001-01-01T00:00:00Z".
std::string format_rfc3339(WallNanos time);
/// Appends the same without allocating when `out` has room.
void append_rfc3339(std::string& out, WallNanos time);
/// Accepts any offset and fraction; years 1677–2262, and the zero time. nullopt when malformed.
std::optional<WallNanos> parse_rfc3339(std::string_view text);

/// Go's duration text: "1h0m0s", "1.5s", "250ms", "0s".
std::string format_go_duration(std::chrono::nanoseconds duration);
/// Go's grammar: signed sequence of decimal numbers with ns, us, µs, ms, s, m, h. nullopt when
/// malformed or out of range.
std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text);

}  // namespace sluice
