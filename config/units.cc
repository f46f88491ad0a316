#include "config/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace sluice {
namespace {

constexpr std::array<std::pair<std::string_view, int64_t>, 9> kSizeUnits{{{"kib", 1LL << 10},
                                                                          {"mib", 1LL << 20},
                                                                          {"gib", 1LL << 30},
                                                                          {"tib", 1LL << 40},
                                                                          {"kb", 1LL << 10},
                                                                          {"mb", 1LL << 20},
                                                                          {"gb", 1LL << 30},
                                                                          {"tb", 1LL << 40},
                                                                          {"b", 1}}};
constexpr std::array<std::pair<std::string_view, int64_t>, 8> kTimeUnits{
    {{"w", 604'800'000'000'000},
     {"d", 86'400'000'000'000},
     {"h", 3'600'000'000'000},
     {"m", 60'000'000'000},
     {"s", 1'000'000'000},
     {"ms", 1'000'000},
     {"us", 1'000},
     {"ns", 1}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

Result<int64_t> parse_integer(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('-')) digits.remove_prefix(1);
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) {
    return fail(Errc::kInvalidArgument, fmt::format("'{}' is not a whole number", text));
  }
  if (digits.size() > 1 && digits[0] == '0') {
    return fail(Errc::kInvalidArgument,
                fmt::format("'{}' has a leading zero: octal or decimal? Write it without", text));
  }
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc())
    return fail(Errc::kInvalidArgument, fmt::format("'{}' is too large", text));
  return value;
}

Result<int64_t> parse_size(std::string_view text) {
  size_t split = 0;
  while (split < text.size() && (is_digit(text[split]) || text[split] == '-')) ++split;
  auto number = parse_integer(text.substr(0, split));
  std::string unit = lower(text.substr(split));
  while (unit.starts_with(' ')) unit.erase(0, 1);
  if (!number) {
    if (split == 0) {
      return fail(Errc::kInvalidArgument,
                  fmt::format("'{}' is not a size such as 65536 or 64MiB", text));
    }
    return number;
  }
  if (unit.empty()) return number;
  for (auto [name, factor] : kSizeUnits) {
    if (unit != name) continue;
    int64_t bytes = 0;
    if (__builtin_mul_overflow(*number, factor, &bytes)) {
      return fail(Errc::kInvalidArgument, fmt::format("'{}' is too large", text));
    }
    return bytes;
  }
  return fail(
      Errc::kInvalidArgument,
      fmt::format("'{}' has an unknown unit; sizes end with B, KiB, MiB, GiB or TiB", text));
}

Result<std::chrono::nanoseconds> parse_time(std::string_view text) {
  auto malformed = [&] {
    return fail(Errc::kInvalidArgument,
                fmt::format("'{}' is not a duration such as 30s, 1h30m or 2d", text));
  };
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return malformed();
  int64_t total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t number_end = 0;
    while (number_end < rest.size() && (is_digit(rest[number_end]) || rest[number_end] == '.'))
      ++number_end;
    size_t unit_end = number_end;
    while (unit_end < rest.size() && rest[unit_end] >= 'a' && rest[unit_end] <= 'z') ++unit_end;
    double number = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + number_end, number);
    if (number_end == 0 || error != std::errc() || end != rest.data() + number_end)
      return malformed();
    std::string_view unit = rest.substr(number_end, unit_end - number_end);
    auto known = std::find_if(kTimeUnits.begin(), kTimeUnits.end(),
                              [&](const auto& u) { return u.first == unit; });
    if (known == kTimeUnits.end()) return malformed();
    double part = number * static_cast<double>(known->second);
    if (part > 9.0e18 || __builtin_add_overflow(total, std::llround(part), &total)) {
      return fail(Errc::kInvalidArgument, fmt::format("'{}' is too long", text));
    }
    rest.remove_prefix(unit_end);
  }
  return std::chrono::nanoseconds(total);
}

Result<int64_t> parse_rate(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, int64_t>, 3> kBits{
      {{"kbit", 1'000}, {"mbit", 1'000'000}, {"gbit", 1'000'000'000}}};
  auto malformed = [&] {
    return fail(Errc::kInvalidArgument, fmt::format("'{}' is not a rate such as 200KiB/s or 512kbit/s", text));
  };
  if (!text.ends_with("/s")) return malformed();
  const std::string_view amount = text.substr(0, text.size() - 2);
  for (auto [name, factor] : kBits) {
    if (!lower(amount).ends_with(name)) continue;
    std::string_view digits = amount.substr(0, amount.size() - name.size());
    while (digits.ends_with(' ')) digits.remove_suffix(1);
    const auto number = parse_integer(digits);
    int64_t bits = 0;
    if (!number || __builtin_mul_overflow(*number, factor, &bits)) return malformed();
    return bits / 8;
  }
  const auto bytes = parse_size(amount);
  return bytes ? bytes : malformed();
}

Result<std::chrono::minutes> parse_time_of_day(std::string_view text) {
  const auto digit = [&](size_t at) { return text[at] - '0'; };
  const bool shaped = text.size() == 5 && text[2] == ':' && is_digit(text[0]) && is_digit(text[1]) && is_digit(text[3]) && is_digit(text[4]);
  const int minutes = shaped ? (digit(0) * 10 + digit(1)) * 60 + digit(3) * 10 + digit(4) : -1;
  if (!shaped || digit(3) > 5 || minutes > 24 * 60)
    return fail(Errc::kInvalidArgument, fmt::format("'{}' is not a time of day such as 08:00", text));
  return std::chrono::minutes(minutes);
}

std::string format_size(int64_t bytes) {
  static constexpr std::array<std::pair<std::string_view, int64_t>, 4> kShown{
      {{"TiB", 1LL << 40}, {"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}}};
  for (auto [name, factor] : kShown) {
    if (bytes != 0 && bytes % factor == 0) return fmt::format("{}{}", bytes / factor, name);
  }
  return std::to_string(bytes);
}

std::string format_time(std::chrono::nanoseconds time) {
  int64_t left = time.count();
  if (left == 0) return "0";
  std::string out;
  for (auto [name, factor] : kTimeUnits) {
    if (name == "w" || left / factor == 0) continue;
    out += fmt::format("{}{}", left / factor, name);
    left %= factor;
  }
  return out;
}

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

Result<std::string> expand_variables(std::string_view text, const Environment& environment) {
  std::string out;
  while (!text.empty()) {
    size_t at = text.find("${");
    if (at == std::string_view::npos) break;
    if (at > 0 && text[at - 1] == '$') {
      out += text.substr(0, at - 1);
      out += "${";
      text.remove_prefix(at + 2);
      continue;
    }
    size_t end = text.find('}', at);
    if (end == std::string_view::npos) return fail(Errc::kInvalidArgument, "'${' without '}'");
    std::string_view inside = text.substr(at + 2, end - at - 2);
    size_t colon = inside.find(":-");
    std::string name(inside.substr(0, colon));
    bool good = !name.empty() && !is_digit(name[0]) &&
                std::all_of(name.begin(), name.end(),
                            [](unsigned char c) { return std::isalnum(c) || c == '_'; });
    if (!good)
      return fail(Errc::kInvalidArgument, fmt::format("'${{{}}}' is not a variable", inside));
    auto value = environment(name);
    bool has_default = colon != std::string_view::npos;
    if (!value && !has_default) {
      return fail(Errc::kInvalidArgument, fmt::format("environment variable {} is not set", name));
    }
    out += text.substr(0, at);
    if (value && !(has_default && value->empty())) {
      out += *value;
    } else {
      out += inside.substr(colon + 2);
    }
    text.remove_prefix(end + 1);
  }
  out += text;
  return out;
}

}  // namespace sluice
