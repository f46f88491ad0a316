#include "replicator/ksuid.h"

#include <array>
#include <cstdint>

#include "base/nuid.h"

namespace sluice {
namespace {

constexpr int64_t kEpoch_s = 1'400'000'000;
constexpr size_t kLength = 27;

}  // namespace

std::string make_ksuid(WallNanos now, Random& random) {
  // Five 32-bit digits, the highest first.
  const uint64_t high = random(), low = random();
  std::array<uint32_t, 5> number = {static_cast<uint32_t>(now / 1'000'000'000 - kEpoch_s),
                                    static_cast<uint32_t>(high >> 32), static_cast<uint32_t>(high),
                                    static_cast<uint32_t>(low >> 32), static_cast<uint32_t>(low)};
  std::string out(kLength, '0');
  for (size_t i = kLength; i-- > 0;) {
    uint64_t rest = 0;
    for (uint32_t& digit : number) {
      const uint64_t value = (rest << 32) | digit;
      digit = static_cast<uint32_t>(value / kBase62.size());
      rest = value % kBase62.size();
    }
    out[i] = kBase62[rest];
  }
  return out;
}

}  // namespace sluice
