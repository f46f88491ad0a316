// The world, as the engine sees it: references to the seams. The daemon fills it from core/uv, the
// simulator from tests/sim; node and gateway hand it down.
#pragma once

#include "io/clock.h"
#include "io/disk.h"
#include "io/executor.h"
#include "io/mailbox.h"
#include "io/poller.h"
#include "io/random.h"
#include "io/timers.h"
#include "io/transport.h"

namespace sluice {

/// Everything referred to outlives everything built from it. Loop thread only.
struct Env {
  Clock& clock;
  Timers& timers;
  Executor& executor;
  Random& random;
  Disk& disk;
  DiskWorkers& disk_workers;
  Network& network;
  Mailboxes& mailboxes;
  Poller& poller;
};

}  // namespace sluice
