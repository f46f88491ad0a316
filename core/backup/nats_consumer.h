// A consumer as nats-server keeps it in its store directory and puts it into its older backups.
#pragma once

#include <string_view>

#include "base/error.h"
#include "consumer/consumer_portable.h"

namespace sluice {

/// The configuration in `meta.inf` without what stands beside it there. kCorrupt when it is no JSON, errors
/// of the API for what this version does not know.
Result<ConsumerConfig> read_nats_consumer_config(std::string_view meta);
/// `o.dat`. kCorrupt; kUnsupported for another version.
Result<ConsumerImage> read_nats_consumer_image(std::string_view state);

}  // namespace sluice
