#pragma once

#include "monitor/monitor.h"

namespace sluice {

/// Memory and CPU time of this process, by procfs and getrusage. Zeros where they can't be told.
ProcessFigures process_figures();

}  // namespace sluice
