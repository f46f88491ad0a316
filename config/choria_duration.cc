#include "config/choria_duration.h"

#include <fmt/format.h>

#include <charconv>

#include "base/time_format.h"

namespace sluice {
namespace {

/// Hours of a long unit; 0 = not one.
double hours_of(char unit) {
  switch (unit) {
    case 'd': case 'D': return 24;
    case 'w': case 'W': return 7 * 24;
    case 'M': return 30 * 24;
    case 'y': case 'Y': return 365 * 24;
    default: return 0;
  }
}

constexpr double kMostHours = 200.0 * 365 * 24;

}  // namespace

Result<std::chrono::nanoseconds> parse_choria_duration(std::string_view text) {
  if (text.empty()) return std::chrono::nanoseconds(0);
  const auto refuse = [&] {
    return fail(Errc::kInvalidArgument, fmt::format("'{}' is no duration such as 30s, 1h30m, 2d, 1w, 6M or 1y", text));
  };
  if (const double hours = hours_of(text.back()); hours != 0) {
    const std::string_view digits = text.substr(0, text.size() - 1);
    double number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size() || number < 0 || !(number * hours <= kMostHours))
      return refuse();
    return std::chrono::hours(static_cast<int64_t>(number * hours));
  }
  const auto parsed = parse_go_duration(text);
  if (!parsed || parsed->count() < 0) return refuse();
  return *parsed;
}

}  // namespace sluice
