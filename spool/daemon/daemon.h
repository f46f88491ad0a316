// sluice-spool as a whole: builds queue, sender and entrances in order, and takes them down in reverse.
#pragma once

#include "config/spool_config.h"

namespace sluice {

/// Runs until a signal ends it (SIGTERM, SIGINT), or the disk fails. @return the exit code.
int run_spool(SpoolConfig config);

}  // namespace sluice
