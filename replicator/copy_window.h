// How much may be on its way to the target at once: all that is allowed while acks come back soon, less
// when a slow link would make the newest message wait long behind the others.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

namespace sluice {

/// Happy path: acks within kPatience of the quickest one seen; the window doubles each round trip up to kUsual_bytes,
/// and beyond that as far as a long way carries at the measured rate (half as much again, so that the rate can grow). On a slow link the wait grows with what is sent ahead: then the window is set to what the
/// measured rate carries in the round trip plus half of kPatience.
class CopyWindow {
 public:
  /// `idle_trip`: a round trip as it was while nothing else was on its way. An ack's own time can't tell how long the way is: it
  /// grows with the window.
  CopyWindow(size_t max_messages, size_t max_bytes, std::chrono::nanoseconds idle_trip)
      : max_messages_(max_messages), max_bytes_(max_bytes), idle_trip_(idle_trip), bytes_(std::min(max_bytes, kFirst_bytes)) {}

  size_t max_messages() const { return max_messages_; }
  size_t bytes() const { return bytes_; }
  /// One message is always allowed, whatever its size.
  bool has_room(size_t messages, size_t in_flight_bytes) const {
    return messages == 0 || (messages < max_messages_ && in_flight_bytes < bytes_);
  }
  /// How long an ack may take before it counts as lost.
  std::chrono::nanoseconds timeout() const {
    return std::max<std::chrono::nanoseconds>(kShortestTimeout, 4 * (quickest() + kPatience));
  }

  void on_ack(std::chrono::nanoseconds now, std::chrono::nanoseconds waited, size_t bytes) {
    if (recent_.count() == 0 || waited < recent_) recent_ = std::max(waited, std::chrono::nanoseconds(1));
    acked_bytes_ += bytes;
    slowest_ = std::max(slowest_, waited);
    const auto elapsed = now - round_began_;
    const auto quickest = this->quickest();
    if (elapsed < std::max<std::chrono::nanoseconds>(quickest, kShortestRound)) return;
    const double rate = static_cast<double>(acked_bytes_) / std::chrono::duration<double>(elapsed).count();
    if (slowest_ <= quickest + kPatience) {
      const double carried = 1.5 * rate * std::chrono::duration<double>(std::min(quickest, idle_trip_)).count();
      const size_t most = std::max(kUsual_bytes, static_cast<size_t>(carried));
      bytes_ = std::min(std::max(bytes_, std::min(bytes_ * 2, most)), max_bytes_);
    } else if (round_began_.count() != 0) {
      const double fits = rate * std::chrono::duration<double>(quickest + kPatience / 2).count();
      bytes_ = std::clamp(static_cast<size_t>(fits), std::min(kLeast_bytes, max_bytes_), max_bytes_);
    }
    round_began_ = now;
    acked_bytes_ = 0;
    slowest_ = {};
    if (now - recent_since_ < kMemory) return;
    recent_since_ = now;  // a link that has become longer must not be held against its best day
    before_ = std::exchange(recent_, std::chrono::nanoseconds(0));
  }

 private:
  /// What even 50 kbit/s carry well within the shortest timeout; a quick link doubles it to the bound in a tenth of a second.
  static constexpr size_t kFirst_bytes = 16 * 1024;
  static constexpr size_t kLeast_bytes = 4 * 1024;
  static constexpr size_t kUsual_bytes = 8 * 1024 * 1024;
  static constexpr std::chrono::nanoseconds kPatience = std::chrono::seconds(1);
  static constexpr std::chrono::nanoseconds kShortestRound = std::chrono::milliseconds(10);
  static constexpr std::chrono::nanoseconds kShortestTimeout = std::chrono::seconds(10);

  static constexpr std::chrono::nanoseconds kMemory = std::chrono::seconds(15);

  std::chrono::nanoseconds quickest() const {
    if (before_.count() == 0 || recent_.count() == 0) return std::max(before_, recent_);
    return std::min(before_, recent_);
  }

  const size_t max_messages_;
  const size_t max_bytes_;
  const std::chrono::nanoseconds idle_trip_;
  size_t bytes_;
  std::chrono::nanoseconds recent_{0};  ///< the quickest ack since recent_since_; 0 = none
  std::chrono::nanoseconds before_{0};  ///< and of the time before
  std::chrono::nanoseconds recent_since_{0};
  std::chrono::nanoseconds slowest_{0};
  std::chrono::nanoseconds round_began_{0};
  size_t acked_bytes_ = 0;
};

}  // namespace sluice
