// Everything that changed a simulated disk, in order: what crash states are made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::sim {

struct DiskEvent {
  enum class Kind : uint8_t { kWrite, kTruncate, kSync, kCreate, kMakeDir, kRename, kRemove, kSyncDir } kind;
  uint32_t file = 0;    ///< 0 = none, or a folder
  uint64_t offset = 0;  ///< kTruncate: the new size
  std::string bytes;
  std::string path;     ///< of names and kSyncDir
  std::string to;       ///< kRename
};

struct DiskHistory {
  std::vector<DiskEvent> events;
};

/// The folder of a path in normal form: "" for a top-level name, "/" for those of the root.
std::string folder_of(const std::string& path);

}  // namespace sluice::sim
