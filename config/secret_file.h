// A secret in a file of its own.
#pragma once

#include <string>

#include "base/error.h"

namespace sluice {

/// The last line end is cut. Refused with a word of why: unreadable, no plain file, readable by everybody, empty, above 64 KiB.
Result<std::string> load_secret_file(const std::string& path);

}  // namespace sluice
