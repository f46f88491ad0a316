#pragma once

#include <memory>

#include "io/poller.h"
#include "uv/loop.h"

namespace sluice {

/// Watches descriptors by uv_poll.
std::unique_ptr<Poller> make_poller(Loop& loop);

}  // namespace sluice
