// What belongs together in a replicator's settings, and what one place takes from another.
#pragma once

#include <functional>
#include <string>

#include "replicator/options.h"

namespace sluice {

/// Fills in defaults that come from elsewhere (names, TLS files of the level above) and tells what contradicts
/// itself. `tell` gets the path of the setting ("streams[0].max_age") and a sentence.
void settle_replicator(ReplicatorOptions& replicator,
                       const std::function<void(const std::string& path, std::string text)>& tell);

}  // namespace sluice
