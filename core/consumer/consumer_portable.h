// A consumer as stream backups carry it: `{"config":{ConsumerConfig},"state":{delivered, ack_floor, pending,
// redelivered}}`, as nats-server 2.15 writes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "consumer/ack_floor.h"
#include "consumer/consumer_config.h"
#include "consumer/pending.h"

namespace sluice {

class Consumer;

/// Where a consumer stands, without anything that belongs to this process.
struct ConsumerImage {
  ConsumerPosition delivered;
  ConsumerPosition floor;
  std::vector<PendingMessage> pending;  ///< rising in stream sequence
};

struct PortableConsumer {
  ConsumerConfig config;
  ConsumerImage image;
};

std::string portable_consumer_json(const Consumer& consumer);
/// @return 10025 for what is no such object; kCorrupt when the state contradicts itself.
Result<PortableConsumer> parse_portable_consumer(std::string_view json);

}  // namespace sluice
