// How many lines may wait for the log's thread.
#pragma once

#include <cstddef>

namespace sluice {

/// Before anything is logged or configured. Each line takes 400 bytes, used or not; when all are, the oldest go and are
/// counted (dropped_log_lines()). Without it: 8192.
void set_log_queue_lines(size_t lines);

}  // namespace sluice
