#include "base/time_format.h"

#include <fmt/format.h>

#include <cmath>

namespace sluice {
namespace {

using namespace std::chrono;

constexpr int64_t kSecond = 1'000'000'000;
/// Whole years, with room to add a little to either.
constexpr WallNanos kEarliest = sys_seconds(sys_days(year{1678} / 1 / 1)).time_since_epoch().count() * kSecond;
constexpr WallNanos kLatest = sys_seconds(sys_days(year{2262} / 1 / 1)).time_since_epoch().count() * kSecond - 1;

bool take_digits(std::string_view& text, size_t count, int& value) {
  if (text.size() < count) return false;
  value = 0;
  for (size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return true;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

void append_rfc3339(std::string& out, WallNanos time) {
  if (time == kZeroTime) {
    out += "0001-01-01T00:00:00Z";
    return;
  }
  int64_t whole = time / kSecond;
  int64_t fraction = time % kSecond;
  if (fraction < 0) {
    fraction += kSecond;
    --whole;
  }
  sys_seconds instant{seconds{whole}};
  auto day = floor<days>(instant);
  year_month_day date{day};
  hh_mm_ss clock{instant - day};
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                 static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                 static_cast<unsigned>(date.day()), clock.hours().count(), clock.minutes().count(),
                 clock.seconds().count());
  if (fraction != 0) {
    char digits[10];
    auto end = fmt::format_to_n(digits, 9, "{:09}", fraction).out;
    while (end[-1] == '0') --end;
    out += '.';
    out.append(digits, end);
  }
  out += 'Z';
}

std::string format_rfc3339(WallNanos time) {
  std::string out;
  append_rfc3339(out, time);
  return out;
}

std::optional<WallNanos> parse_rfc3339(std::string_view text) {
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0;
  if (!take_digits(text, 4, y) || !take(text, '-') || !take_digits(text, 2, mo) ||
      !take(text, '-') || !take_digits(text, 2, d)) {
    return std::nullopt;
  }
  if (!take(text, 'T') && !take(text, 't')) return std::nullopt;
  if (!take_digits(text, 2, h) || !take(text, ':') || !take_digits(text, 2, mi) ||
      !take(text, ':') || !take_digits(text, 2, s)) {
    return std::nullopt;
  }
  int64_t fraction = 0;
  if (take(text, '.') || take(text, ',')) {
    int64_t unit = kSecond / 10;
    size_t digits = 0;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
      fraction += (text.front() - '0') * unit;
      unit /= 10;
      text.remove_prefix(1);
      ++digits;
    }
    if (digits == 0) return std::nullopt;
  }
  int64_t offset_s = 0;
  if (!take(text, 'Z') && !take(text, 'z')) {
    int sign = take(text, '+') ? 1 : take(text, '-') ? -1 : 0;
    int oh = 0, om = 0;
    if (sign == 0 || !take_digits(text, 2, oh) || !take(text, ':') || !take_digits(text, 2, om) ||
        oh > 23 || om > 59) {
      return std::nullopt;
    }
    offset_s = sign * (oh * 3600 + om * 60);
  }
  if (!text.empty()) return std::nullopt;
  year_month_day date{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
  if (!date.ok() || h > 23 || mi > 59 || s > 59) return std::nullopt;
  if (y == 1 && mo == 1 && d == 1 && h == 0 && mi == 0 && s == 0 && fraction == 0) return kZeroTime;
  // What the clock can't hold is long ago or never comes.
  if (y < 1678) return kEarliest;
  if (y > 2261) return kLatest;
  int64_t total_s = duration_cast<seconds>(sys_days{date}.time_since_epoch()).count() + h * 3600 +
                    mi * 60 + s - offset_s;
  return total_s * kSecond + fraction;
}

std::string format_go_duration(nanoseconds duration) {
  int64_t ns = duration.count();
  if (ns == 0) return "0s";
  std::string sign;
  uint64_t value = static_cast<uint64_t>(ns);
  if (ns < 0) {
    sign = "-";
    value = ~value + 1;
  }
  auto decimal = [](uint64_t amount, uint64_t unit, const char* name) {
    std::string out = fmt::format("{}", amount / unit);
    uint64_t rest = amount % unit;
    if (rest != 0) {
      std::string digits = fmt::format("{}", unit + rest).substr(1);
      while (digits.back() == '0') digits.pop_back();
      out += '.';
      out += digits;
    }
    return out + name;
  };
  if (value < 1000) return sign + decimal(value, 1, "ns");
  if (value < 1'000'000) return sign + decimal(value, 1000, "µs");
  if (value < static_cast<uint64_t>(kSecond)) return sign + decimal(value, 1'000'000, "ms");
  constexpr uint64_t kMinute = 60ull * kSecond;
  constexpr uint64_t kHour = 60 * kMinute;
  std::string out = sign;
  if (value >= kHour) out += fmt::format("{}h", value / kHour);
  if (value >= kMinute) out += fmt::format("{}m", value % kHour / kMinute);
  return out + decimal(value % kMinute, kSecond, "s");
}

std::optional<nanoseconds> parse_go_duration(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return 0ns;
  if (text.empty()) return std::nullopt;
  long double total = 0;
  while (!text.empty()) {
    size_t digits = 0;
    long double value = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
      value = value * 10 + (text[digits++] - '0');
    }
    size_t seen = digits;
    text.remove_prefix(digits);
    if (take(text, '.')) {
      long double unit = 0.1L;
      while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
        value += (text.front() - '0') * unit;
        unit /= 10;
        text.remove_prefix(1);
        ++seen;
      }
    }
    if (seen == 0) return std::nullopt;
    struct Unit {
      std::string_view name;
      long double ns;
    };
    // Longer names first: "ms" is not "m".
    static constexpr Unit kUnits[] = {{"ns", 1},   {"us", 1e3L}, {"µs", 1e3L}, {"μs", 1e3L},
                                      {"ms", 1e6L}, {"s", 1e9L},  {"m", 6e10L}, {"h", 3.6e12L}};
    bool found = false;
    for (const Unit& unit : kUnits) {
      if (text.starts_with(unit.name)) {
        text.remove_prefix(unit.name.size());
        total += value * unit.ns;
        found = true;
        break;
      }
    }
    if (!found || total >= 9'223'372'036'854'775'807.0L) return std::nullopt;
  }
  auto ns = static_cast<int64_t>(std::llroundl(total));
  return nanoseconds{negative ? -ns : ns};
}

}  // namespace sluice
