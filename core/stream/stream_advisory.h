// Events of a stream for whoever subscribes to $JS.EVENT.ADVISORY.>.
#pragma once

#include <string_view>

#include "bus/bus.h"
#include "io/env.h"

namespace sluice {

struct AbandonedBatch {
  std::string_view account;
  std::string_view stream;
  std::string_view domain;  ///< empty = none
  std::string_view id;
  std::string_view reason;  ///< timeout, large, incomplete, unsupported
};

/// On STREAM.BATCH_ABANDONED.<stream> of the account's own bus and of the system's (nullptr: there is none), where it
/// names the account. Made only when somebody listens.
void advise_batch_abandoned(Env& env, Bus& own, Bus* system, const AbandonedBatch& batch);

}  // namespace sluice
