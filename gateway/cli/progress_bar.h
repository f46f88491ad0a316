// A bar on the terminal with rate and time left; nothing when standard error is none.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "io/clock.h"

namespace sluice {

/// How fast something counts up: over the last ten seconds, so that a slow begin or a pause is soon forgotten.
class ProgressRate {
 public:
  void note(MonoTime now, uint64_t done);
  /// nullopt: less than a second was seen.
  std::optional<double> per_second() const;

 private:
  std::deque<std::pair<MonoTime, uint64_t>> seen_;  ///< about a second apart, the newest last
};

/// "healing [####----]  50% 500 messages, 100/s, 5s left". Rate and time left are there once they are known.
/// @param what  what is counted; rates of "bytes" are told in KiB and so on.
std::string progress_text(const std::string& word, const std::string& what, uint64_t done, uint64_t all, std::optional<double> per_second);

class ProgressBar {
 public:
  /// @param clock  outlives this.
  ProgressBar(const Clock& clock, std::string word, std::string what, bool quiet);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  /// Drawn ten times a second at most.
  void show(uint64_t done, uint64_t all);

 private:
  const Clock& clock_;
  const std::string word_;
  const std::string what_;
  const bool on_;
  ProgressRate rate_;
  MonoTime drawn_at_{};
  size_t width_ = 0;  ///< of what stands there
};

}  // namespace sluice
