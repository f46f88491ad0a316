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
#include "stream/stream_source.h"
#include "stream/unknown_keys.h"

namespace sluice {

enum class Retention : uint8_t { kLimits, kInterest, kWorkQueue };
enum class Discard : uint8_t { kOld, kNew };
enum class StorageKind : uint8_t { kFile, kMemory };
enum class Compression : uint8_t { kNone, kS2 };
/// kAsync: a publish is answered before it is on disk; what readers see still is.
enum class PersistMode : uint8_t { kDefault, kAsync };

struct ConsumerLimits {
  std::chrono::nanoseconds inactive_threshold{0};
  int64_t max_ack_pending = 0;
  bool operator==(const ConsumerLimits&) const = default;
};

/// Where a cluster should keep the stream. One server has one place: kept and shown, nothing to choose.
struct Placement {
  std::string cluster;
  std::vector<std::string> tags;
  std::string preferred;  ///< refused by check_stream_config
  bool operator==(const Placement&) const = default;
};

/// Stored messages whose subject `source` matches are published again, as `destination` says.
struct RepublishConfig {
  std::string source;
  std::string destination;  ///< empty = off
  bool headers_only = false;
  bool operator==(const RepublishConfig&) const = default;
};

/// Normalised: -1 = unlimited, zero durations = off. Options of the API that this version does not
/// carry out (counters, batches, schedules, replicas > 1) are refused when parsed,
/// never stored.
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
  std::optional<Placement> placement;
  std::optional<StreamSource> mirror;  ///< everything comes from there, and only from there
  std::vector<StreamSource> sources;   ///< copied in beside the stream's own subjects
  Compression compression = Compression::kNone;
  uint64_t first_seq = 0;
  std::optional<SubjectMapping> subject_transform;  ///< applied to a publish before anything else
  std::optional<RepublishConfig> republish;
  bool allow_direct = false;
  bool mirror_direct = false;
  bool discard_new_per_subject = false;
  bool sealed = false;
  bool deny_delete = false;
  bool deny_purge = false;
  bool allow_rollup_hdrs = false;
  ConsumerLimits consumer_limits;
  bool allow_msg_ttl = false;  ///< messages may bring a TTL (Nats-TTL, ADR-43)
  /// Zero = no delete markers; what is left when the last message of a subject goes by age lives so long.
  std::chrono::nanoseconds subject_delete_marker_ttl{0};
  bool allow_msg_counter = false;    ///< every message adds to its subject's number (ADR-49)
  bool allow_atomic = false;         ///< atomic batches (ADR-50)
  bool allow_msg_schedules = false;  ///< messages may be schedules (ADR-51)
  PersistMode persist_mode = PersistMode::kDefault;
  bool allow_batched = false;        ///< fast ingest batches (ADR-50)
  std::map<std::string, std::string> metadata;

  bool operator==(const StreamConfig&) const = default;
};

/// A configuration as a client sent it, not yet checked.
struct StreamRequest {
  StreamConfig config;
  bool pedantic = false;  ///< refuse (10157) instead of changing what the client sent
};

/// What the server shows about itself in `metadata` of create, update and info replies.
struct ServerMetadata {
  std::string version;
  int api_level = 0;
};

inline constexpr std::chrono::nanoseconds kDefaultDuplicateWindow = std::chrono::minutes(2);
inline constexpr size_t kMaxDescription_bytes = 4096;
inline constexpr size_t kMaxMetadata_bytes = 131'072;
inline constexpr int kMaxReplicas = 5;

/// Decodes the body of STREAM.CREATE and STREAM.UPDATE. 10025 for wrong types, unknown enum words and,
/// unless they are to be ignored, unknown keys.
Result<StreamRequest> parse_stream_request(std::string_view json,
                                           UnknownKeys unknown = UnknownKeys::kRefuse);
/// Fills in defaults and checks, in the reference's order; the first failure is returned: 10052 with
/// its text, 10133, 10074, 10155, 10156, 10157 when pedantic, those of check_stream_sources().
/// @param max_duplicate_window  the server's limit; zero = none.
/// @param find  the account's streams, for mirrors and sources; empty = none.
Result<StreamConfig> check_stream_config(const StreamRequest& request,
                                         std::chrono::nanoseconds max_duplicate_window,
                                         const StreamLookup& find = {});
/// The part of it on subject_transform and republish, which also rewrites republish from ">" to ">" where
/// it means the transformed subjects.
Status check_subject_mappings(StreamConfig& config, bool pedantic);
/// Both of the above.
Result<StreamConfig> parse_stream_config(std::string_view json,
                                         std::chrono::nanoseconds max_duplicate_window = {});
/// May `was` become `updated`? 10052 with its text. Applies what sealing forces to `updated`.
Status check_stream_update(const StreamConfig& was, StreamConfig& updated);

/// The lowest API level at which a server can carry out `config` (ADR-44).
int required_api_level(const StreamConfig& config);

/// The object in the reference's order of fields. `server` adds `_nats.ver` and `_nats.level`.
std::string stream_config_json(const StreamConfig& config, const ServerMetadata* server);

const char* to_string(Retention retention);
const char* to_string(Discard discard);
const char* to_string(StorageKind storage);

/// A stream or consumer name: 1–255 bytes without space, '.', '*', '>', '/', '\\' or control characters.
bool is_valid_asset_name(std::string_view name);

}  // namespace sluice
