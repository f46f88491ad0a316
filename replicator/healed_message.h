// What `sluice verify --heal` writes in the place of a message that a copy has lost.
#pragma once

#include <string>

#include "base/error.h"
#include "client/stream_client.h"

namespace sluice {

/// Who heals when no copy is named.
inline constexpr const char* kHealReplicator = "sluice";
inline constexpr const char* kHealWorker = "heal";

/// The source's headers without `Nats-Expected-*` and earlier positions, a mark of `replicator` and `worker` (a worker that no
/// copier is, so that none takes it for its own place), and an id of its own: the original one may still be in the target's
/// duplicate window.
/// @return kUnsupported, with words, for a message that would do something again (roll up, count, schedule, end a batch).
Result<std::string> healed_headers(const StoredCopy& original, const std::string& source_stream,
                                   const std::string& replicator = kHealReplicator, const std::string& worker = kHealWorker);

}  // namespace sluice
