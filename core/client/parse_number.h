#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

/// All of `text` as a decimal number; nullopt when anything else is in it or it does not fit.
inline std::optional<uint64_t> parse_u64(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The last token of an inbox subject as a number: how replies find who asked.
inline std::optional<uint64_t> inbox_token(std::string_view inbox) {
  return parse_u64(inbox.substr(inbox.rfind('.') + 1));
}

}  // namespace sluice
