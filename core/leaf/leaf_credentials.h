// The file that `nsc` writes for a user: a JWT and the seed that signs for it.
#pragma once

#include <string>

#include "base/error.h"
#include "io/disk.h"

namespace sluice {

struct LeafCredentials {
  std::string jwt;
  std::string seed;
};

/// Blocking, 64 KiB at most. kIo, or kInvalidArgument when the file is none of the kind.
Result<LeafCredentials> read_leaf_credentials(Disk& disk, const std::string& path);

}  // namespace sluice
