#include "stream/cron.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "base/parse_number.h"

namespace sluice {
namespace {

constexpr int64_t kDay = 86'400;
constexpr int64_t kYearsAhead = 5;

enum FieldIndex { kSecond, kMinute, kHour, kDayOfMonth, kMonth, kDayOfWeek };
struct Bounds {
  unsigned low;
  unsigned high;
};
constexpr std::array<Bounds, 6> kBounds{{{0, 59}, {0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}};
constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Macro {
  std::string_view name;
  std::string_view fields;
};
constexpr Macro kMacros[] = {{"@yearly", "0 0 0 1 1 *"},  {"@annually", "0 0 0 1 1 *"}, {"@monthly", "0 0 0 1 * *"},
                             {"@weekly", "0 0 0 * * 0"},  {"@daily", "0 0 0 * * *"},    {"@midnight", "0 0 0 * * *"},
                             {"@hourly", "0 0 * * * *"}};

template <size_t N>
std::optional<unsigned> named(std::string_view text, const std::array<std::string_view, N>& names, unsigned first) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto at = std::find(names.begin(), names.end(), lower);
  if (at == names.end()) return std::nullopt;
  return static_cast<unsigned>(at - names.begin()) + first;
}

std::optional<unsigned> whole_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  return parse_decimal<unsigned>(text);
}

std::optional<unsigned> value_of(std::string_view text, int index) {
  if (index == kMonth)
    if (const auto month = named(text, kMonths, 1)) return month;
  if (index == kDayOfWeek)
    if (const auto day = named(text, kWeekdays, 0)) return day;
  return whole_number(text);
}

/// Cuts the part before `separator` off; the rest stays. Without one, all of it.
std::string_view take_until(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return part;
}

struct LocalDate {
  std::chrono::year_month_day date;
  unsigned weekday;
  int64_t second_of_day;
};

LocalDate local_date(int64_t local_seconds) {
  const int64_t day = local_seconds >= 0 ? local_seconds / kDay : (local_seconds - kDay + 1) / kDay;
  const std::chrono::sys_days days{std::chrono::days(day)};
  return {days, std::chrono::weekday(days).c_encoding(), local_seconds - day * kDay};
}

int64_t start_of(std::chrono::year_month_day date) {
  return std::chrono::sys_days(date).time_since_epoch().count() * kDay;
}

}  // namespace

/// One member of a list: `*`, `n`, `a-b`, with or without `/step`.
bool CronExpression::parse_field(std::string_view text, int index, Field& out) {
  if (text.empty()) return false;
  const auto [least, most] = kBounds[static_cast<size_t>(index)];
  while (!text.empty()) {
    std::string_view member = take_until(text, ',');
    if (member.empty()) continue;
    const bool stepped = member.find('/') != std::string_view::npos;
    std::string_view range = take_until(member, '/');
    const auto step = stepped ? whole_number(member) : std::optional(1U);
    if (!step || *step == 0) return false;
    unsigned low = least;
    unsigned high = most;
    const std::string_view begin = range.substr(0, range.find('-'));
    if (begin == "*" || begin == "?") {  // what follows a hyphen then says nothing
      if (*step == 1) out.any = true;
    } else {
      const bool spans = range.find('-') != std::string_view::npos;
      const auto first = value_of(take_until(range, '-'), index);
      const auto last = spans ? value_of(range, index) : first;
      if (!first || !last) return false;
      low = *first;
      high = stepped && !spans ? most : *last;
    }
    if (low < least || high > most || low > high) return false;
    for (unsigned value = low; value <= high; value += *step) out.values.set(value);
  }
  return true;
}

std::optional<CronExpression> CronExpression::parse(std::string_view text) {
  if (text.starts_with('@')) {
    const auto macro = std::find_if(std::begin(kMacros), std::end(kMacros), [text](const Macro& m) { return m.name == text; });
    if (macro == std::end(kMacros)) return std::nullopt;
    text = macro->fields;
  }
  CronExpression out;
  int count = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find_first_of(" \t\r\n\v\f"));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (word.empty()) continue;
    if (count == 6 || !parse_field(word, count, out.fields_[count])) return std::nullopt;
    ++count;
  }
  if (count != 6) return std::nullopt;
  return out;
}

bool CronExpression::day_matches(unsigned day, unsigned weekday) const {
  const Field& of_month = fields_[kDayOfMonth];
  const Field& of_week = fields_[kDayOfWeek];
  const bool month = of_month.values.test(day);
  const bool week = of_week.values.test(weekday);
  return of_month.any || of_week.any ? month && week : month || week;
}

/// Walks through real time and looks at the wall: at most a jump a month, day, hour, minute and second.
std::optional<int64_t> CronExpression::next(int64_t after, const TimeZone& zone) const {
  using std::chrono::months;
  const int64_t give_up = after + kYearsAhead * 366 * kDay;
  for (int64_t at = after + 1; at <= give_up;) {
    const int64_t local = zone.to_local(at);
    const LocalDate here = local_date(local);
    const std::chrono::year_month_day first_of_month = here.date.year() / here.date.month() / 1;
    if (!fields_[kMonth].values.test(static_cast<unsigned>(here.date.month()))) {
      at = std::max(at + 1, zone.to_system(start_of(first_of_month + months(1))));
    } else if (!day_matches(static_cast<unsigned>(here.date.day()), here.weekday)) {
      at = std::max(at + 1, zone.to_system(start_of(here.date) + kDay));
    } else if (!fields_[kHour].values.test(static_cast<size_t>(here.second_of_day / 3600))) {
      at += 3600 - here.second_of_day % 3600;
    } else if (!fields_[kMinute].values.test(static_cast<size_t>(here.second_of_day / 60 % 60))) {
      at += 60 - here.second_of_day % 60;
    } else if (!fields_[kSecond].values.test(static_cast<size_t>(here.second_of_day % 60))) {
      ++at;
    } else {
      return at;
    }
  }
  return std::nullopt;
}

}  // namespace sluice
