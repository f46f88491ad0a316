// How long a refused client waits for its answer: nobody guesses quickly.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "io/clock.h"

namespace sluice {

/// Counts failures by address. The first ones of a minute are answered at once, as people mistype
/// and services restart with an old secret; each further one waits longer, two seconds at most.
/// Loop thread only.
class AuthFailures {
 public:
  static constexpr uint32_t kFree = 10;
  static constexpr std::chrono::milliseconds kFirstDelay{100};
  static constexpr std::chrono::milliseconds kLongestDelay{2000};
  static constexpr std::chrono::seconds kForgetAfter{60};
  static constexpr size_t kMaxAddresses = 4096;  ///< beyond it all are forgotten

  /// One more failure from there. @return how long its answer must wait.
  std::chrono::nanoseconds note(const std::string& address, MonoTime now);

 private:
  struct Seen {
    uint32_t count = 0;
    MonoTime since{0};
  };
  std::unordered_map<std::string, Seen> addresses_;
};

}  // namespace sluice
