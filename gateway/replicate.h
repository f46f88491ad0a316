// The replicator as a process of its own: no server, no store, only copies between far systems.
#pragma once

#include "config/stream_replicator.h"

namespace sluice {

/// Runs until SIGTERM or SIGINT. @return the exit code.
int run_replicator(const StreamReplicatorFile& settings);

}  // namespace sluice
