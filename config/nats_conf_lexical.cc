#include "config/nats_conf_lexical.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>

namespace sluice {
namespace {

/// Power of the unit's letter; 0 = none.
int power_of(char letter) {
  constexpr std::string_view kLetters = "kmgtpe";
  const size_t at =
      kLetters.find(static_cast<char>(std::tolower(static_cast<unsigned char>(letter))));
  return at == std::string_view::npos ? 0 : static_cast<int>(at) + 1;
}

}  // namespace

std::string to_conf_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::optional<bool> conf_flag(std::string_view word) {
  if (word.size() > 5) return std::nullopt;
  const std::string lower = to_conf_lower(word);
  if (lower == "true" || lower == "yes" || lower == "on") return true;
  if (lower == "false" || lower == "no" || lower == "off") return false;
  return std::nullopt;
}

ConfNumber read_conf_number(std::string_view word) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const char* const begin = word.data();
  const char* const end = begin + word.size();
  const char* digits_end = std::find_if_not(begin + (word.starts_with('-') ? 1 : 0), end, is_digit);
  if (digits_end == begin + (word.starts_with('-') ? 1 : 0)) return {};
  if (digits_end != end && *digits_end == '.') {
    if (digits_end + 1 == end || !std::all_of(digits_end + 1, end, is_digit)) return {};
    ConfNumber out{.kind = ConfNumber::Kind::kReal};
    auto [stop, bad] = std::from_chars(begin, end, out.real);
    if (bad != std::errc()) out.kind = ConfNumber::Kind::kOutOfRange;
    return out;
  }
  int64_t factor = 1;
  if (digits_end != end) {
    const int power = power_of(*digits_end);
    const std::string rest = to_conf_lower({digits_end + 1, end});
    if (power == 0 || (!rest.empty() && rest != "b" && rest != "i" && rest != "ib")) return {};
    for (int i = 0; i < power; ++i) factor *= rest.empty() ? 1000 : 1024;
  }
  ConfNumber out{.kind = ConfNumber::Kind::kInteger};
  auto [stop, bad] = std::from_chars(begin, digits_end, out.integer);
  if (bad != std::errc() || __builtin_mul_overflow(out.integer, factor, &out.integer)) {
    out.kind = ConfNumber::Kind::kOutOfRange;
  }
  return out;
}

std::string included_path(std::string_view from, std::string_view name) {
  std::filesystem::path folder = std::filesystem::path(from).parent_path();
  std::string below(name);
  below.erase(0, below.find_first_not_of('/'));
  return (folder / below).lexically_normal().string();
}

}  // namespace sluice
