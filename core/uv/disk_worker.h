#pragma once

#include <memory>

#include "io/disk.h"
#include "uv/loop.h"

namespace sluice {

/// Each worker is a thread of its own (libuv's shared pool of four would let a slow disk block name
/// look-ups). A worker with work under way keeps Loop::run() from returning.
std::unique_ptr<DiskWorkers> make_disk_workers(Loop& loop);

}  // namespace sluice
