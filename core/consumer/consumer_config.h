// The configuration of a consumer: JSON in, defaults, checks, update rules, JSON out.
//
// Happy path of a create: parse_consumer_request → normalise_consumer_config → check_consumer_config.
// Source: the reference's documented ConsumerConfig (names, order, texts), held against nats-server.
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
#include "stream/stream_config.h"

namespace sluice {

enum class DeliverPolicy : uint8_t { kAll, kLast, kNew, kByStartSequence, kByStartTime, kLastPerSubject };
/// kFlowControl: a push consumer whose answers to flow-control requests acknowledge (ADR-60).
enum class AckPolicy : uint8_t { kNone, kAll, kExplicit, kFlowControl };
enum class ReplayPolicy : uint8_t { kInstant, kOriginal };
enum class PriorityPolicy : uint8_t { kNone, kOverflow, kPinnedClient, kPrioritized };

/// Durations zero = off, numbers zero = off unless said otherwise (after normalising: -1 = unlimited
/// for max_deliver and max_ack_pending).
struct ConsumerConfig {
  std::string durable_name;
  std::string name;
  bool name_made = false;  ///< by the server, for a request that had none: not shown in the configuration
  std::string description;
  DeliverPolicy deliver_policy = DeliverPolicy::kAll;
  uint64_t opt_start_seq = 0;
  std::optional<WallNanos> opt_start_time;
  AckPolicy ack_policy = AckPolicy::kNone;
  std::chrono::nanoseconds ack_wait{0};
  int64_t max_deliver = 0;
  std::vector<std::chrono::nanoseconds> backoff;
  std::string filter_subject;
  std::vector<std::string> filter_subjects;
  ReplayPolicy replay_policy = ReplayPolicy::kInstant;
  uint64_t rate_limit_bps = 0;
  std::string sample_freq;
  int64_t max_waiting = 0;
  int64_t max_ack_pending = 0;
  bool flow_control = false;
  bool headers_only = false;
  int64_t max_batch = 0;
  std::chrono::nanoseconds max_expires{0};
  int64_t max_bytes = 0;
  std::string deliver_subject;
  std::string deliver_group;
  std::chrono::nanoseconds idle_heartbeat{0};
  std::chrono::nanoseconds inactive_threshold{0};
  int64_t num_replicas = 0;
  bool mem_storage = false;
  bool direct = false;    ///< of a mirror or source: in memory, hidden, gone with its copier
  bool sourcing = false;  ///< asked for by a mirror or source (API level 4)
  std::map<std::string, std::string> metadata;
  std::optional<WallNanos> pause_until;
  std::vector<std::string> priority_groups;
  PriorityPolicy priority_policy = PriorityPolicy::kNone;
  std::chrono::nanoseconds priority_timeout{0};

  bool is_push() const { return !deliver_subject.empty(); }
  bool is_durable() const { return !durable_name.empty(); }
  /// The one or the several; empty = everything.
  std::vector<std::string> filters() const;
  bool operator==(const ConsumerConfig&) const = default;
};

/// A CONSUMER.CREATE request, as sent.
struct ConsumerRequest {
  std::string stream_name;
  ConsumerConfig config;
  std::string action;  ///< "", "create", "update"
  bool pedantic = false;
};

/// 10025 with a decoder's text for wrong types and, unless they are to be ignored, unknown keys.
Result<ConsumerRequest> parse_consumer_request(std::string_view json, UnknownKeys unknown = UnknownKeys::kRefuse);

/// What the store keeps beside a consumer's state.
struct ConsumerMeta {
  WallNanos created = 0;
  ConsumerConfig config;
};
Result<ConsumerMeta> parse_consumer_meta(std::string_view json);
std::string consumer_meta_json(const ConsumerMeta& meta);

/// Fields in the documented order; zero values left out where the reference does.
std::string consumer_config_json(const ConsumerConfig& config);

struct ConsumerLimitsInForce {
  int64_t max_ack_pending = -1;
  int64_t max_request_batch = 0;
};

/// Puts in defaults. @return 10157 in pedantic mode where a value would be changed.
Status normalise_consumer_config(ConsumerConfig& config, const StreamConfig& stream,
                                 const ConsumerLimitsInForce& limits, bool pedantic);
/// Everything that can be told from the config, its stream's config and the limits, in the
/// documented order; first failure wins.
Status check_consumer_config(const ConsumerConfig& config, const StreamConfig& stream,
                             const ConsumerLimitsInForce& limits);
/// The API level that a server needs to carry it out (`_nats.req.level`).
int required_api_level(const ConsumerConfig& config);
/// What may not change (10012). The deliver subject's rule needs interest: see Consumers.
Status check_consumer_update(const ConsumerConfig& before, const ConsumerConfig& after);

/// 1–16 of A-Z a-z 0-9 / _ = - (ADR-42).
bool is_valid_priority_group(std::string_view name);

}  // namespace sluice
