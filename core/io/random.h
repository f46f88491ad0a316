#pragma once

#include <cstdint>

namespace sluice {

/// Random numbers. The real one is seeded by the kernel and good enough for ids, not for keys.
class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t u64() = 0;
  uint64_t operator()() { return u64(); }
  /// Uniform in [0, bound), bound > 0.
  uint64_t below(uint64_t bound) { return u64() % bound; }
};

}  // namespace sluice
