// Time zones of the IANA database: what a wall clock shows somewhere.
//
// Read from the system's zone files (tzdata). Offsets only; nothing here throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

/// A value, cheap to copy; zones live as long as the process.
class TimeZone {
 public:
  static TimeZone utc() { return TimeZone(nullptr); }
  /// "Europe/Berlin", "UTC", or "Local" for the machine's own; nullopt when there is no such zone.
  static std::optional<TimeZone> find(std::string_view name);

  /// Seconds since 1970 as the clock on the wall counts them.
  int64_t to_local(int64_t system_seconds) const;
  /// The first moment at which the wall shows at least `local_seconds`.
  int64_t to_system(int64_t local_seconds) const;

 private:
  explicit TimeZone(const void* zone) : zone_(zone) {}
  const void* zone_;  ///< of the library; nullptr = UTC
};

}  // namespace sluice
