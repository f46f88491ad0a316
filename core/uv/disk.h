#pragma once

#include <memory>

#include "io/disk.h"

namespace sluice {

/// The file system by POSIX calls. Thread safe; files 0600, folders 0700, descriptors O_CLOEXEC.
std::unique_ptr<Disk> make_disk();

}  // namespace sluice
