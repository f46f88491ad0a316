// Settings of a drop folder. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "base/limits.h"

namespace sluice {

struct FileDropOptions {
  std::string name = "drop";
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  std::string folder;         ///< must be there, and be ours to rename in
  std::string done_folder;    ///< of the same file system; empty = files are deleted when they are stored
  std::string failed_folder;  ///< empty = "<folder>/failed"
  std::string stream;         ///< created when missing
  std::string subject;        ///< before the file's name; empty = "filedrop.<name>"
  size_t max_file_bytes = 768 * kKiB;
  std::chrono::nanoseconds scan_interval = std::chrono::seconds(10);  ///< besides being told by the kernel
  std::chrono::nanoseconds duplicate_window = std::chrono::hours(1);
  size_t max_in_flight = 256;
};

}  // namespace sluice
