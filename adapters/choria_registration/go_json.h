// The corners in which Go's encoding/json differs from strict JSON, so that records come out byte
// by byte as Choria writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// JSON text with what Go's decoder forgives made right: bytes that are no UTF-8 and escapes of
/// lone surrogates become U+FFFD.
std::string forgive_as_go(std::string_view json);

/// Appends a quoted string as Go's encoder does: <, >, & and U+2028/9 escaped, bytes that are no
/// UTF-8 as \ufffd.
void append_go_string(std::string& out, std::string_view text);

/// RFC 3339 in UTC, trailing zeros of the fraction cut; nullopt outside the years 0 to 9999, for
/// which Go's encoder fails.
std::optional<std::string> format_go_time(int64_t seconds, uint32_t nanoseconds);

}  // namespace sluice
