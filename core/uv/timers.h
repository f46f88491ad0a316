#pragma once

#include <memory>

#include "io/timers.h"
#include "uv/loop.h"

namespace sluice {

/// Timers on the loop, of millisecond resolution, never early by Clock::now().
std::unique_ptr<Timers> make_timers(Loop& loop);

}  // namespace sluice
