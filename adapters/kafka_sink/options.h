// Settings of a Kafka sink. Plain data; config/ fills it.
#pragma once

#include <cstddef>
#include <string>

#include "adapters/kafka/options.h"
#include "base/limits.h"

namespace sluice {

struct KafkaSinkOptions : KafkaClientOptions {
  std::string name = "kafka";
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  std::string stream;
  std::string filter_subject;  ///< empty = all
  bool from_start = true;      ///< of a stream that was never read; else what comes from now on
  std::string topic;
  KafkaKeySource key = KafkaKeySource::kSubject;
  KafkaEvents events = KafkaEvents::kAuto;
  std::string transactional_id;  ///< empty = "sluice-<name>"; the position's group as well
  size_t max_batch = 10'000;     ///< messages in one transaction
  size_t max_batch_bytes = 8 * kMiB;
};

}  // namespace sluice
