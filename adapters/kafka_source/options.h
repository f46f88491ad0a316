// Settings of a Kafka source. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "adapters/kafka/options.h"
#include "base/limits.h"

namespace sluice {

struct KafkaSourceOptions : KafkaClientOptions {
  std::string name = "kafka";
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  std::vector<std::string> topics;
  bool from_start = true;         ///< of a topic that was never read; else what comes from now on
  bool restart_recreated = true;  ///< a topic that was made again is read from its start; else not at all
  bool pass_expired = true;       ///< records that were gone before they were read are counted; else reading stops
  KafkaEvents events = KafkaEvents::kAuto;
  std::chrono::nanoseconds refresh = std::chrono::seconds(30);  ///< new partitions are looked for that often

  std::string stream;
  std::string subject;  ///< template; empty = "<name>.{topic}.{key}"
  int64_t max_bytes = -1;
  std::chrono::nanoseconds max_age{0};
  bool memory = false;
  size_t max_message_bytes = kDefaultMaxPayload_bytes;  ///< headers and payload
  size_t max_in_flight = 4000;
};

}  // namespace sluice
