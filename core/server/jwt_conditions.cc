#include "server/jwt_conditions.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/parse_number.h"
#include "calendar/time_zone.h"

namespace sluice {
namespace {

constexpr int64_t kNanos = 1'000'000'000;
constexpr int64_t kDay_s = 24 * 3600;

/// IPv4 as its IPv6 form.
std::optional<std::array<uint8_t, 16>> parse_address(const std::string& text, bool& v4) {
  std::array<uint8_t, 16> out{};
  if (inet_pton(AF_INET6, text.c_str(), out.data()) == 1) {
    v4 = false;
    return out;
  }
  out.fill(0);
  if (inet_pton(AF_INET, text.c_str(), out.data() + 12) != 1) return std::nullopt;
  out[10] = out[11] = 0xff;
  v4 = true;
  return out;
}

bool in_network(const std::array<uint8_t, 16>& address, const std::string& network) {
  const size_t slash = network.find('/');
  if (slash == std::string::npos) return false;
  bool v4 = false;
  const auto base = parse_address(network.substr(0, slash), v4);
  const auto length = parse_decimal<int>(std::string_view(network).substr(slash + 1));
  if (!base || !length || *length < 0 || *length > (v4 ? 32 : 128)) return false;
  int bits = v4 ? *length + 96 : *length;
  for (size_t i = 0; i < address.size(); ++i, bits -= 8) {
    if (bits <= 0) return true;
    const auto mask = static_cast<uint8_t>(bits >= 8 ? 0xff : 0xff << (8 - bits));
    if ((address[i] & mask) != ((*base)[i] & mask)) return false;
  }
  return true;
}

}  // namespace

bool address_in(std::string_view address, const std::vector<std::string>& networks) {
  bool v4 = false;
  const auto parsed = parse_address(std::string(address), v4);
  return parsed && std::ranges::any_of(networks, [&](const std::string& network) {
           return in_network(*parsed, network);
         });
}

Result<WallNanos> allowed_until(const std::vector<DaySpan>& spans, const std::string& zone_name,
                                WallNanos now) {
  const auto zone = zone_name.empty() ? TimeZone::utc() : TimeZone::find(zone_name);
  if (!zone) return fail(Errc::kDenied, "the times' location is not known");
  const int64_t local = zone->to_local(now / kNanos);
  const int64_t at = local % kDay_s;
  const int64_t midnight = local - at;
  int64_t until = 0;
  for (const DaySpan& span : spans) {
    const bool over_midnight = span.start_s > span.end_s;
    const bool inside = over_midnight ? at >= span.start_s || at < span.end_s
                                      : at >= span.start_s && at < span.end_s;
    if (!inside) continue;
    const int64_t end = midnight + span.end_s + (over_midnight && at >= span.start_s ? kDay_s : 0);
    until = std::max(until, zone->to_system(end));
  }
  if (until == 0) return fail(Errc::kDenied, "not at this time of day");
  return until * kNanos;
}

}  // namespace sluice
