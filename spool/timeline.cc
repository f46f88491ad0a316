#include "spool/timeline.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace sluice {
namespace {

/// 2020-01-01: a clock that shows less was never set.
constexpr WallNanos kPlausible = 1'577'836'800'000'000'000;
constexpr WallNanos kJump = 30'000'000'000;

bool read_number(std::string_view& text, int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (!text.empty()) text.remove_prefix(1);
  return true;
}

}  // namespace

SpoolTimeline::SpoolTimeline(Clock& clock)
    : clock_(clock), base_(clock.wall()), since_(clock.now()), offset_(clock.wall() - clock.now().count()) {}

void SpoolTimeline::resume(std::string_view mark) {
  int64_t spool = 0;
  int64_t wall = 0;
  if (!read_number(mark, spool) || !read_number(mark, wall)) return;
  const WallNanos now = clock_.wall();
  const bool known = wall >= kPlausible && now >= wall;
  base_ = spool + (known ? now - wall : 0);
  since_ = clock_.now();
}

SpoolTime SpoolTimeline::now() const { return base_ + (clock_.now() - since_).count(); }

std::string SpoolTimeline::mark() const { return fmt::format("{} {}", now(), clock_.wall()); }

bool SpoolTimeline::jumped() {
  const WallNanos offset = clock_.wall() - clock_.now().count();
  if (std::llabs(offset - offset_) < kJump) return false;
  offset_ = offset;
  return true;
}

}  // namespace sluice
