// A configuration's file: reading it, and what must not stand in one that everybody may read.
#pragma once

#include <optional>
#include <string>

#include "config/field.h"
#include "config/problems.h"

namespace sluice {

struct ConfigFile {
  std::string text;
  bool world_readable = false;
};

/// At most kMaxConfig_bytes and one more byte. nullopt after a problem.
std::optional<ConfigFile> read_config_file(const std::string& path, Problems& problems);
/// A problem for each secret written into the file itself.
void tell_open_secrets(ReadContext& context);

}  // namespace sluice
