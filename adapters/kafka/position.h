// How far each partition has been read, as it is stored beside the data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/kafka/kafka_port.h"

namespace sluice {

struct PartitionPosition {
  int64_t next = 0;   ///< the first offset that is not in the stream
  uint64_t mark = 0;  ///< record_mark() of the one before it; 0 = none was read
};

struct KafkaPositions {
  std::string batch;  ///< the write that stored it: tells whether one without an answer took place
  std::map<KafkaPartition, PartitionPosition> partitions;
};

/// As JSON: {"batch":"…","topics":{"orders":{"0":[17,"9f…"]}}}.
std::string write_positions(const KafkaPositions& positions);
/// nullopt when it is none.
std::optional<KafkaPositions> parse_positions(std::string_view text);

}  // namespace sluice
