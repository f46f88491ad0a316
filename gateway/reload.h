// A configuration file of `sluice run` is read again: what of it comes into force.
#pragma once

#include <string>

#include "config/config.h"
#include "gateway/app.h"

namespace sluice {

/// Names for people, separated by blanks; empty = none.
struct ReloadOutcome {
  std::string applied;
  std::string waiting;  ///< differ from what runs, and need a restart
};

/// Applies the server's settings and the log's; notes them in `running`. Other sections that differ
/// from what runs are named, at every reload until the restart. The errors of Server::reload().
Result<ReloadOutcome> reload_config(RunningDaemon& daemon, Config& running, const Config& fresh);

}  // namespace sluice
