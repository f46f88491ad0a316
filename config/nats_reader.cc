#include "config/nats_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "config/nats_conf_lexical.h"
#include "config/units.h"

namespace sluice {

using std::chrono::nanoseconds;

std::string_view go_type(const ConfValue& value) {
  switch (value.kind) {
    case ConfValue::Kind::kFlag:
      return "bool";
    case ConfValue::Kind::kInteger:
      return "int64";
    case ConfValue::Kind::kReal:
      return "float64";
    case ConfValue::Kind::kText:
      return "string";
    case ConfValue::Kind::kList:
      return "[]interface {}";
    case ConfValue::Kind::kMap:
      return "map[string]interface {}";
  }
  return "";
}

std::string NatsReader::at(const ConfPlace& place) const {
  return fmt::format("{}:{}:{}: ", conf_.files[place.file], place.line, place.column);
}

void NatsReader::tell(const ConfPlace& place, std::string_view words) {
  errors_ += fmt::format("{}{}\n", at(place), words);
}

void NatsReader::warn(const ConfPlace& place, std::string_view words) {
  warnings_.push_back(fmt::format("{}{}", at(place), words));
}

void NatsReader::note(const ConfPlace& place, std::string_view words) {
  notes_.push_back(fmt::format("{}{}", at(place), words));
}

void NatsReader::refuse_or_unknown(const ConfEntry& entry,
                                   std::span<const std::string_view> refused) {
  if (std::find(refused.begin(), refused.end(), to_conf_lower(entry.key)) != refused.end()) {
    if (entry.value.kind == ConfValue::Kind::kFlag && !entry.value.flag) return;
    tell(entry.value.place,
         fmt::format("\"{}\" is not carried out by this version of Sluice", entry.key));
  } else if (!entry.used_as_variable) {
    tell(entry.value.place, fmt::format("unknown field \"{}\"", entry.key));
  }
}

bool NatsReader::is(Value value, ConfValue::Kind kind, std::string_view wanted) {
  if (value.kind == kind) return true;
  tell(value.place,
       fmt::format("interface conversion: interface {{}} is {}, not {}", go_type(value), wanted));
  return false;
}

bool NatsReader::is_map(Value value) {
  return is(value, ConfValue::Kind::kMap, "map[string]interface {}");
}

void NatsReader::text(Value value, std::string& out) {
  if (is(value, ConfValue::Kind::kText, "string")) out = value.text;
}

void NatsReader::flag(Value value, bool& out) {
  if (is(value, ConfValue::Kind::kFlag, "bool")) out = value.flag;
}

std::optional<int64_t> NatsReader::integer(Value value, int64_t low, int64_t high, Key key) {
  if (!is(value, ConfValue::Kind::kInteger, "int64")) return std::nullopt;
  if (value.integer >= low && value.integer <= high) return value.integer;
  tell(value.place,
       fmt::format("{} of {} is not between {} and {}", key, value.integer, low, high));
  return std::nullopt;
}

std::optional<nanoseconds> NatsReader::duration(Value value, Key key) {
  if (value.kind == ConfValue::Kind::kInteger) {
    constexpr int64_t kMax_s = std::numeric_limits<int64_t>::max() / 1'000'000'000;
    auto seconds = integer(value, 1, kMax_s, key);
    if (!seconds) return std::nullopt;
    warn(value.place,
         fmt::format("invalid use of field \"{0}\": {0} should be converted to a duration", key));
    return std::chrono::seconds(*seconds);
  }
  if (!is(value, ConfValue::Kind::kText, "string")) return std::nullopt;
  auto time = parse_time(value.text);
  if (!time) {
    tell(value.place,
         fmt::format("error parsing {}: time: invalid duration \"{}\"", key, value.text));
    return std::nullopt;
  }
  if (time->count() > 0) return *time;
  tell(value.place, fmt::format("{} must be longer than nothing", key));
  return std::nullopt;
}

std::optional<nanoseconds> NatsReader::seconds_or_duration(Value value, Key what, Key key) {
  constexpr double kMax_s = 1e9;
  double seconds = 0;
  if (value.kind == ConfValue::Kind::kInteger) {
    seconds = static_cast<double>(value.integer);
  } else if (value.kind == ConfValue::Kind::kReal) {
    seconds = value.real;
  } else if (value.kind == ConfValue::Kind::kText) {
    auto time = parse_time(value.text);
    if (!time) {
      tell(value.place, fmt::format("error parsing {} config, '{}' time: invalid duration \"{}\"",
                                    what, key, value.text));
      return std::nullopt;
    }
    seconds = static_cast<double>(time->count()) / 1e9;
  } else {
    is(value, ConfValue::Kind::kReal, "float64");
    return std::nullopt;
  }
  if (!(seconds > 0 && seconds <= kMax_s)) {
    tell(value.place, fmt::format("{} must be longer than nothing", key));
    return std::nullopt;
  }
  return nanoseconds(std::max<int64_t>(1, std::llround(seconds * 1e9)));
}

std::optional<int64_t> NatsReader::storage_size(Value value, std::string_view name) {
  if (value.kind != ConfValue::Kind::kText) {
    auto number = integer(value, std::numeric_limits<int64_t>::min(),
                          std::numeric_limits<int64_t>::max(), name);
    return number ? std::optional(std::max<int64_t>(*number, -1)) : std::nullopt;
  }
  const std::string& all = value.text;
  const std::string digits = all.substr(0, all.empty() ? 0 : all.size() - 1);
  int64_t number = 0;
  auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (bad != std::errc() || end != digits.data() + digits.size()) {
    tell(value.place,
         fmt::format("{} strconv.ParseInt: parsing \"{}\": invalid syntax", name, digits));
    return std::nullopt;
  }
  const size_t unit = std::string_view("KMGT").find(all.back());
  int64_t bytes = 0;
  if (unit == std::string_view::npos || number < 0 ||
      __builtin_mul_overflow(number, int64_t{1} << (10 * (unit + 1)), &bytes)) {
    tell(value.place, fmt::format("{} sizes defined as strings must end in K, M, G, T", name));
    return std::nullopt;
  }
  return bytes;
}

void NatsReader::port(Value value, Key key, int& out) {
  if (auto number = integer(value, -1, 65535, key)) out = static_cast<int>(*number);
}

void NatsReader::address(Value value, std::string& host, int& port_out) {
  if (value.kind == ConfValue::Kind::kInteger) {
    port(value, "port", port_out);
    return;
  }
  if (value.kind != ConfValue::Kind::kText) {
    tell(value.place, fmt::format("expected port or host:port, got {}", go_type(value)));
    return;
  }
  const size_t colon = value.text.rfind(':');
  if (colon == std::string::npos) {
    tell(value.place, fmt::format("could not parse address string \"{}\"", value.text));
    return;
  }
  std::string_view name = std::string_view(value.text).substr(0, colon);
  const std::string_view digits = std::string_view(value.text).substr(colon + 1);
  if (name.starts_with('[') && name.ends_with(']')) {
    name = name.substr(1, name.size() - 2);
  } else if (name.find(':') != std::string_view::npos) {
    tell(value.place, fmt::format("could not parse address string \"{}\"", value.text));
    return;
  }
  int number = 0;
  auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (bad != std::errc() || end != digits.data() + digits.size() || number < -1 || number > 65535) {
    tell(value.place, fmt::format("could not parse port \"{}\"", digits));
    return;
  }
  host = name;
  port_out = number;
}

void NatsReader::count(Value value, Key key, size_t& out) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (auto number = integer(value, -1, kMost, key))
    out = static_cast<size_t>(std::max<int64_t>(*number, 0));
}

void NatsReader::texts(Value value, std::vector<std::string>& out) {
  if (value.kind != ConfValue::Kind::kList) {
    if (is(value, ConfValue::Kind::kText, "string")) out.push_back(value.text);
    return;
  }
  for (const ConfValue& item : value.items) {
    if (is(item, ConfValue::Kind::kText, "string")) out.push_back(item.text);
  }
}

}  // namespace sluice
