#include "server/auth_failures.h"

#include <algorithm>

namespace sluice {

std::chrono::nanoseconds AuthFailures::note(const std::string& address, MonoTime now) {
  if (addresses_.size() >= kMaxAddresses && !addresses_.contains(address)) addresses_.clear();
  Seen& seen = addresses_.try_emplace(address, Seen{0, now}).first->second;
  if (now - seen.since >= kForgetAfter) seen = {0, now};
  if (++seen.count <= kFree) return std::chrono::nanoseconds(0);
  const uint32_t doublings = std::min<uint32_t>(seen.count - kFree - 1, 10);
  return std::min<std::chrono::nanoseconds>(kFirstDelay * (1U << doublings), kLongestDelay);
}

}  // namespace sluice
