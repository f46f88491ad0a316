// Files of a folder that others may write to, opened so that nobody leads us elsewhere.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "io/disk.h"

namespace sluice {

/// Thread safe as the disk is.
class PlainFiles {
 public:
  virtual ~PlainFiles() = default;
  /// For reading. @return kUnsupported for what is no regular file itself: a symbolic link, a pipe, a device.
  virtual Result<std::unique_ptr<File>> open(const std::string& path) = 0;
  /// A folder itself, not a link to one.
  virtual bool is_folder(const std::string& path) = 0;
  /// Whether a folder is nobody's but ours to write to. @return kDenied with the reason.
  virtual Status check_private(const std::string& folder) = 0;
};

/// The real ones. Linux: the file is pinned without following links, looked at, and opened through /proc/self/fd.
std::unique_ptr<PlainFiles> make_plain_files(Disk& disk);

}  // namespace sluice
