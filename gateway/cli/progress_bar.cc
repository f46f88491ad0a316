#include "gateway/cli/progress_bar.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace sluice {
namespace {

constexpr size_t kWidth = 40;

}  // namespace

ProgressBar::ProgressBar(std::string word, std::string what, bool quiet)
    : word_(std::move(word)), what_(std::move(what)), on_(!quiet && ::isatty(STDERR_FILENO) != 0) {}

ProgressBar::~ProgressBar() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::show(uint64_t done, uint64_t all) {
  if (!on_ || all == 0) return;
  const auto filled = static_cast<size_t>(done * kWidth / all);
  std::fprintf(stderr, "\r%s [%s%s] %3llu%% %llu %s", word_.c_str(), std::string(filled, '#').c_str(),
               std::string(kWidth - filled, '-').c_str(), static_cast<unsigned long long>(done * 100 / all),
               static_cast<unsigned long long>(done), what_.c_str());
  shown_ = true;
}

}  // namespace sluice
