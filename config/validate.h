// Checks of what belongs together, after each field has passed its own.
#pragma once

#include "config/config.h"
#include "config/field.h"

namespace sluice {

/// Also fills in defaults that depend on other settings (queue groups, names of copies, state_dir).
void validate(ReadContext& context, Config& config);

}  // namespace sluice
