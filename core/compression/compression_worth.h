// Whether a connection is worth compressing now: not when so much goes over it, without waiting, that the processor is what it waits for.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "io/clock.h"

namespace sluice {

/// Happy path: compressing. Over a look of kLook_bytes and kLook at least, kFast_bytes a second or more went out and next to none of it found
/// earlier bytes waiting: the road is wider than what we make, and from then on bytes go as they are. When they wait and are slower than the
/// compressed ones were, the road was not that wide: compressed again, for kRest and twice as long each time. When little goes out it costs little to
/// compress: again, at once.
class CompressionWorth {
 public:
  /// Of each write. `waits`: earlier bytes have not left yet.
  /// @return whether to compress it.
  bool compresses(MonoTime now, size_t bytes, bool waits) {
    if (began_ == MonoTime{}) began_ = now;
    const auto elapsed = now - began_;
    if (elapsed >= kLook && writes_ != 0) conclude(now, static_cast<double>(bytes_) / std::chrono::duration<double>(elapsed).count());
    ++writes_;
    waiting_ += waits ? 1 : 0;
    bytes_ += bytes;
    return compresses_;
  }

 private:
  static constexpr double kFast_bytes = 32.0 * 1024 * 1024;
  static constexpr std::chrono::nanoseconds kLook = std::chrono::milliseconds(200);
  static constexpr std::chrono::nanoseconds kRest = std::chrono::seconds(30);
  static constexpr std::chrono::nanoseconds kLongestRest = std::chrono::minutes(16);

  void conclude(MonoTime now, double rate) {
    const size_t waiting = waiting_, writes = writes_;
    began_ = now;
    bytes_ = writes_ = waiting_ = 0;
    if (compresses_) {
      if (rate < kFast_bytes || waiting * 8 > writes || now < rests_until_) return;
      compresses_ = false;
      compressed_rate_ = rate;
    } else if (waiting * 2 > writes && rate < compressed_rate_) {
      compresses_ = true;
      rests_until_ = now + rest_;
      rest_ = std::min(2 * rest_, kLongestRest);
    } else if (rate < kFast_bytes / 2) {
      compresses_ = true;
    }
  }

  bool compresses_ = true;
  MonoTime began_{};
  size_t bytes_ = 0;
  size_t writes_ = 0;
  size_t waiting_ = 0;
  double compressed_rate_ = 0;
  MonoTime rests_until_{};
  std::chrono::nanoseconds rest_ = kRest;
};

}  // namespace sluice
