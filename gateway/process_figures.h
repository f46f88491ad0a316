#pragma once

#include <cstdint>

#include "monitor/monitor.h"

namespace sluice {

/// Memory and CPU time of this process, by procfs and getrusage. Zeros where they can't be told.
ProcessFigures process_figures();

/// Lets this process have as many descriptors as the system allows it. Not for who starts other programs: they inherit it.
/// @return how many that are; 0 = without limit.
uint64_t raise_descriptor_limit();

}  // namespace sluice
