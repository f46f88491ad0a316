// What a configuration, Sluice's or Stream Replicator's, says about its replicator.
#pragma once

#include <cstdint>
#include <string>

#include "replicator/options.h"

namespace sluice {

class Problems;

struct ReplicatorFile {
  ReplicatorOptions replicator;
  std::string host = "127.0.0.1";  ///< of the process's monitor
  uint16_t port = 0;               ///< 0 = it has none
};

/// What is wrong goes to `problems`; warnings are not told: the process that runs with the file has told them.
ReplicatorFile load_replicator_file(const std::string& path, Problems& problems);

}  // namespace sluice
