#include "calendar/time_zone.h"

#include <date/tz.h>

#include <algorithm>
#include <exception>
#include <string>

namespace sluice {
namespace {

using date::local_seconds;
using date::sys_seconds;
using std::chrono::seconds;

const date::time_zone& zone_of(const void* zone) { return *static_cast<const date::time_zone*>(zone); }

/// Zone names become file names.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
           c == '-' || c == '+';
  });
}

}  // namespace

std::optional<TimeZone> TimeZone::find(std::string_view name) {
  if (name == "UTC") return utc();
  if (!is_plain_name(name)) return std::nullopt;
  try {
    return TimeZone(name == "Local" ? date::current_zone() : date::locate_zone(std::string(name)));
  } catch (const std::exception&) {  // the library's word for "no such zone"
    return std::nullopt;
  }
}

int64_t TimeZone::to_local(int64_t system_seconds) const {
  if (zone_ == nullptr) return system_seconds;
  const auto info = zone_of(zone_).get_info(sys_seconds(seconds(system_seconds)));
  return system_seconds + info.offset.count();
}

int64_t TimeZone::to_system(int64_t local_seconds_since) const {
  if (zone_ == nullptr) return local_seconds_since;
  const auto info = zone_of(zone_).get_info(local_seconds(seconds(local_seconds_since)));
  // A gap: the wall jumps past it at the end of the first half.
  if (info.result == date::local_info::nonexistent) return info.first.end.time_since_epoch().count();
  return local_seconds_since - info.first.offset.count();
}

}  // namespace sluice
