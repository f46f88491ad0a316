#include "client/backoff.h"

#include <algorithm>
#include <array>

namespace sluice {
namespace {

constexpr std::array<int, 11> kSteps_ms = {500,  750,  1000, 1500, 2000, 2500,
                                           3000, 3500, 4000, 4500, 5000};

/// Each round of the table begins 5 s above the one before.
std::chrono::nanoseconds step(int failures, int rounds, Random& random) {
  const int steps = static_cast<int>(kSteps_ms.size());
  const int index = std::clamp(failures - 1, 0, rounds * steps - 1);
  const int ms = index / steps * 5000 + kSteps_ms[static_cast<size_t>(index % steps)];
  const auto whole = std::chrono::nanoseconds(std::chrono::milliseconds(ms));
  return whole / 2 + std::chrono::nanoseconds(random.below(static_cast<uint64_t>(whole.count())));
}

}  // namespace

std::chrono::nanoseconds five_sec_backoff(int failures, Random& random) {
  return step(failures, 1, random);
}

std::chrono::nanoseconds twenty_sec_backoff(int failures, Random& random) {
  return step(failures, 4, random);
}

}  // namespace sluice
