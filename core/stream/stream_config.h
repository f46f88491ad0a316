// The configuration of a stream: JSON in, checks, JSON out (facts: names and order of StreamConfig).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

enum class Retention : uint8_t { kLimits, kInterest, kWorkQueue };
enum class Discard : uint8_t { kOld, kNew };
enum class StorageKind : uint8_t { kFile, kMemory };

struct ConsumerLimits {
  std::chrono::nanoseconds inactive_threshold{0};
  int64_t max_ack_pending = 0;
  bool operator==(const ConsumerLimits&) const = default;
};

/// Normalised: -1 = unlimited, zero durations = off. Options of the API that this version does not
/// carry out (mirror, sources, transforms, republish, TTL, counters, batches, schedules, compression,
/// replicas > 1) are refused when parsed, never stored.
struct StreamConfig {
  std::string name;
  std::string description;
  std::vector<std::string> subjects;
  Retention retention = Retention::kLimits;
  int64_t max_consumers = -1;
  int64_t max_msgs = -1;
  int64_t max_bytes = -1;
  std::chrono::nanoseconds max_age{0};
  int64_t max_msgs_per_subject = -1;
  int32_t max_msg_size = -1;
  Discard discard = Discard::kOld;
  StorageKind storage = StorageKind::kFile;
  int num_replicas = 1;
  bool no_ack = false;
  std::chrono::nanoseconds duplicate_window{0};
  uint64_t first_seq = 0;
  bool allow_direct = false;
  bool mirror_direct = false;
  bool discard_new_per_subject = false;
  bool sealed = false;
  bool deny_delete = false;
  bool deny_purge = false;
  bool allow_rollup_hdrs = false;
  ConsumerLimits consumer_limits;
  std::map<std::string, std::string> metadata;

  bool operator==(const StreamConfig&) const = default;
};

}  // namespace sluice
