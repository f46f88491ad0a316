// The small words of nats-server's grammar. For nats_conf.cc alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

inline bool is_conf_blank(char c) { return c == ' ' || c == '\t'; }
inline bool is_conf_newline(char c) { return c == '\n' || c == '\r'; }
inline bool is_conf_separator(char c) { return c == ':' || c == '='; }
/// What ends a word without quotes.
inline bool ends_conf_word(char c) {
  return is_conf_blank(c) || is_conf_newline(c) || c == ',' || c == ';' || c == ']' || c == '}';
}

/// ASCII only.
std::string to_conf_lower(std::string_view text);
/// true yes on, false no off, in any case.
std::optional<bool> conf_flag(std::string_view word);

struct ConfNumber {
  enum class Kind : uint8_t { kNone, kInteger, kReal, kOutOfRange };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  double real = 0;
};
/// "-1", "64k" (× 1000), "64KB" "64kib" (× 1024), "2.5". kNone = some other word.
ConfNumber read_conf_number(std::string_view word);

/// `name` seen from the file `from`: always below its folder, as the reference joins them.
std::string included_path(std::string_view from, std::string_view name);

}  // namespace sluice
