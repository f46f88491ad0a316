// Random numbers from the seed.
#pragma once

#include <cstdint>

#include "io/random.h"

namespace sluice::sim {

/// SplitMix64. Same seed, same numbers, on every machine.
class SimRandom : public Random {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}
  uint64_t u64() override {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  /// Uniform in [low, high], both in.
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  /// True in `percent` of 100 calls.
  bool chance(unsigned percent) { return below(100) < percent; }
  /// A stream of numbers of its own, so that one part's draws do not shift another's.
  SimRandom fork() { return SimRandom(u64()); }

 private:
  uint64_t state_;
};

}  // namespace sluice::sim
