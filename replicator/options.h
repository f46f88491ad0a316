// Settings of the replicator. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "client/link_options.h"

namespace sluice {

/// One stream copied in one direction.
struct StreamCopyOptions {
  std::string name;           ///< of the copy; second word of the provenance header; default: the stream's name
  std::string stream;         ///< at the source
  std::string target_stream;  ///< default: the same name
  LinkOptions source;         ///< embedded by default
  LinkOptions target;
  std::string filter_subject; ///< empty = everything
  size_t window_messages = 1000;               ///< on their way to the target, not yet acknowledged
  size_t window_bytes = 8 * 1024 * 1024;
  bool create_target = true;  ///< make the target stream when it is missing, subjects as the source's
};

struct ReplicatorOptions {
  std::string name = "sluice";  ///< of this replicator; first of the names in the provenance header
  std::string state_dir;        ///< positions of copies, beside what the targets themselves tell
  std::vector<StreamCopyOptions> streams;
};

}  // namespace sluice
