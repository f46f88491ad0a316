// Of `sluice import`: see import.cc.
#pragma once

#include "gateway/cli/verbs.h"

namespace sluice {

void add_import_nats_store(CLI::App& import, VerbRun& run);

}  // namespace sluice
