// What the operators of a server hear when its disk is full.
#pragma once

#include <string_view>

#include "bus/bus.h"
#include "io/env.h"

namespace sluice {

struct StorageAdvisory {
  std::string_view server_name;
  std::string_view server_id;
  std::string_view domain;  ///< empty = none
};

/// On $JS.EVENT.ADVISORY.SERVER.OUT_OF_STORAGE of the system account's bus; made only when somebody listens.
void advise_out_of_storage(Env& env, Bus& system, const StorageAdvisory& about);

}  // namespace sluice
