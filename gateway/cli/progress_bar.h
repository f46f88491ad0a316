// A bar on the terminal; nothing when standard error is none.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

class ProgressBar {
 public:
  /// @param what  what is counted, as "messages".
  ProgressBar(std::string word, std::string what, bool quiet);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void show(uint64_t done, uint64_t all);

 private:
  const std::string word_;
  const std::string what_;
  const bool on_;
  bool shown_ = false;
};

}  // namespace sluice
