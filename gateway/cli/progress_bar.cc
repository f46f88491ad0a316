#include "gateway/cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include "gateway/cli/table.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr size_t kWidth = 40;
constexpr auto kStep = 1s;
constexpr size_t kMaxSteps = 10;
constexpr auto kRedraw = 100ms;

std::string amount(uint64_t count, bool is_bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  if (!is_bytes) return fmt::format("{}", count);
  auto value = static_cast<double>(count);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, kUnits[unit]);
}

}  // namespace

void ProgressRate::note(MonoTime now, uint64_t done) {
  // The newest moves on until it stands a step behind the one before it.
  if (seen_.size() > 1 && seen_.back().first - seen_[seen_.size() - 2].first < kStep)
    seen_.back() = {now, done};
  else
    seen_.emplace_back(now, done);
  if (seen_.size() > kMaxSteps + 1) seen_.pop_front();
}

std::optional<double> ProgressRate::per_second() const {
  if (seen_.empty()) return std::nullopt;
  const auto& [from, before] = seen_.front();
  const auto& [to, done] = seen_.back();
  if (to - from < kStep) return std::nullopt;
  return static_cast<double>(done - std::min(before, done)) / std::chrono::duration<double>(to - from).count();
}

std::string progress_text(const std::string& word, const std::string& what, uint64_t done, uint64_t all, std::optional<double> per_second) {
  const uint64_t part = std::min(done, all);
  const uint64_t percent = all == 0 ? 100 : static_cast<uint64_t>(static_cast<double>(part) * 100 / static_cast<double>(all));
  const size_t filled = percent * kWidth / 100;
  const bool is_bytes = what == "bytes";
  std::string text = fmt::format("{} [{}{}] {:3}% {}{}", word, std::string(filled, '#'), std::string(kWidth - filled, '-'), percent,
                                 amount(done, is_bytes), is_bytes ? "" : " " + what);
  if (!per_second) return text;
  text += fmt::format(", {}/s", amount(static_cast<uint64_t>(*per_second), is_bytes));
  if (part < all && *per_second >= 1)
    text += fmt::format(", {} left", short_duration(static_cast<int64_t>(static_cast<double>(all - part) / *per_second * 1e9)));
  return text;
}

ProgressBar::ProgressBar(const Clock& clock, std::string word, std::string what, bool quiet)
    : clock_(clock), word_(std::move(word)), what_(std::move(what)), on_(!quiet && ::isatty(STDERR_FILENO) != 0) {}

ProgressBar::~ProgressBar() {
  if (width_ != 0) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::show(uint64_t done, uint64_t all) {
  if (!on_ || all == 0) return;
  const MonoTime now = clock_.now();
  if (width_ != 0 && done < all && now - drawn_at_ < kRedraw) return;
  drawn_at_ = now;
  rate_.note(now, done);
  std::string text = progress_text(word_, what_, done, all, rate_.per_second());
  const size_t width = std::exchange(width_, text.size());
  text.append(width > text.size() ? width - text.size() : 0, ' ');
  std::fprintf(stderr, "\r%s", text.c_str());
  std::fflush(stderr);
}

}  // namespace sluice
