// The monitor's pages of what only the gateway knows: adapters and copies, as JSON for people and scripts.
#pragma once

#include <string>

#include "gateway/adapter_host.h"
#include "gateway/auto_streams.h"
#include "replicator/replicator.h"

namespace sluice {

/// {"adapters":[{"name","type","state","received",…,"rejected":{reason: count}}]}; nullptr = none.
std::string adapters_page(const AdapterHost* adapters);
/// {"streams":[{"stream","state","detail"}]}; nullptr = none.
std::string auto_streams_page(const AutoStreams* streams);
/// {"copies":[{"name","stream","target_stream","state","source_seq","target_seq","lag",…}]}; `lag` is null
/// while the source's end is not known. nullptr = none.
std::string replicator_page(const Replicator* replicator);

}  // namespace sluice
