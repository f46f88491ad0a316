#include "adapters/choria_registration/go_json.h"

#include <fmt/format.h>

#include <chrono>

namespace sluice {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Length of the UTF-8 character at the start of `text`; 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  // Overlong forms, surrogates and what lies above U+10FFFF show in the second byte.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if (at(i) < 0x80 || at(i) > 0xBF) return 0;
  return length;
}

/// The value of \uXXXX at the start of `text`; -1 when it is something else.
int unicode_escape(std::string_view text) {
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') return -1;
  int value = 0;
  for (size_t i = 2; i < 6; ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

bool is_high_surrogate(int value) { return value >= 0xD800 && value < 0xDC00; }
bool is_low_surrogate(int value) { return value >= 0xDC00 && value < 0xE000; }

}  // namespace

std::string forgive_as_go(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (size_t i = 0; i < json.size();) {
    const std::string_view rest = json.substr(i);
    if (rest[0] == '\\' && rest.size() > 1) {
      const int value = unicode_escape(rest);
      if (is_high_surrogate(value) && is_low_surrogate(unicode_escape(rest.substr(6)))) {
        out.append(rest.substr(0, 12));
        i += 12;
      } else if (is_high_surrogate(value) || is_low_surrogate(value)) {
        out.append("\\ufffd");
        i += 6;
      } else if (static_cast<unsigned char>(rest[1]) < 0x80) {
        out.append(rest.substr(0, 2));
        i += 2;
      } else {
        out.push_back('\\');
        ++i;
      }
    } else if (const size_t length = utf8_length(rest); length != 0) {
      out.append(rest.substr(0, length));
      i += length;
    } else {
      out.append(kReplacement);
      ++i;
    }
  }
  return out;
}

void append_go_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const std::string_view rest = text.substr(i);
    const size_t length = utf8_length(rest);
    i += length == 0 ? 1 : length;
    if (length == 0) {
      out.append("\\ufffd");
    } else if (length > 1) {
      if (rest.starts_with("\xE2\x80\xA8"))
        out.append("\\u2028");
      else if (rest.starts_with("\xE2\x80\xA9"))
        out.append("\\u2029");
      else
        out.append(rest.substr(0, length));
    } else if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out.append("\\n");
    } else if (c == '\r') {
      out.append("\\r");
    } else if (c == '\t') {
      out.append("\\t");
    } else if (c == '\b') {
      out.append("\\b");
    } else if (c == '\f') {
      out.append("\\f");
    } else if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' || c == '&') {
      out.append(fmt::format("\\u{:04x}", static_cast<unsigned>(c)));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

std::optional<std::string> format_go_time(int64_t seconds, uint32_t nanoseconds) {
  constexpr int64_t kFirst = -62167219200;  // 0000-01-01
  constexpr int64_t kEnd = 253402300800;    // 10000-01-01
  if (seconds < kFirst || seconds >= kEnd) return std::nullopt;
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (nanoseconds != 0) {
    text += fmt::format(".{:09}", nanoseconds);
    while (text.ends_with('0')) text.pop_back();
  }
  return text + "Z";
}

}  // namespace sluice
