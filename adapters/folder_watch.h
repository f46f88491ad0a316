// Being told that something came into a folder.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "io/poller.h"

namespace sluice {

/// Loop thread only.
class FolderWatch {
 public:
  virtual ~FolderWatch() = default;
  /// Begins; `changed` runs for what was renamed into the folder or closed after writing. kIo when the
  /// kernel can't watch it: then only scans find files.
  virtual Status start(const std::string& folder, std::move_only_function<void()> changed) = 0;
};

/// inotify on the loop's poller.
std::unique_ptr<FolderWatch> make_folder_watch(Poller& poller);

}  // namespace sluice
