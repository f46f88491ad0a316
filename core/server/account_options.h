// What an operator may set of users and accounts. Plain data; config and JWT claims fill it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

/// The account of users that name none, and the one of the server's own events.
inline constexpr std::string_view kGlobalAccount = "$G";
inline constexpr std::string_view kSystemAccount = "$SYS";

/// What may be done with subjects. No `allow` = everything but `deny`. For subscriptions an entry may
/// be "subject queue": then it is about that queue only.
struct SubjectPermission {
  std::vector<std::string> allow = {};
  std::vector<std::string> deny = {};
  bool operator==(const SubjectPermission&) const = default;
};

/// Each message that a client gets with a reply subject lets it publish there.
struct ResponsePermission {
  int64_t max = 1;  ///< messages; negative = without limit
  std::chrono::nanoseconds expires = std::chrono::minutes(2);  ///< negative = never
  bool operator==(const ResponsePermission&) const = default;
};

struct PermissionOptions {
  SubjectPermission publish = {};
  SubjectPermission subscribe = {};
  std::optional<ResponsePermission> responses = {};
  bool operator==(const PermissionOptions&) const = default;
};

struct UserOptions {
  std::string user = {};
  std::string password = {};  ///< in clear or a bcrypt hash ("$2a$…")
  std::string nkey = {};      ///< public key "U…"; then neither user nor password
  std::optional<PermissionOptions> permissions = {};  ///< unset = those of the account, if any
  /// STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS; empty = all.
  std::vector<std::string> allowed_connection_types = {};
  bool operator==(const UserOptions&) const = default;
};

/// JetStream limits of an account; -1 = none.
struct JetStreamLimits {
  int64_t max_memory = -1;
  int64_t max_storage = -1;
  int64_t max_streams = -1;
  int64_t max_consumers = -1;
  int64_t max_ack_pending = -1;
  int64_t memory_max_stream_bytes = -1;
  int64_t storage_max_stream_bytes = -1;
  bool max_bytes_required = false;
  bool operator==(const JetStreamLimits&) const = default;
};

/// One destination of a mapping.
struct MappingDestination {
  std::string subject = {};
  uint32_t weight = 100;     ///< percent
  std::string cluster = {};  ///< counts only in this cluster; empty = everywhere
  bool operator==(const MappingDestination&) const = default;
};
struct MappingOptions {
  std::string source = {};
  std::vector<MappingDestination> destinations = {};
  bool operator==(const MappingOptions&) const = default;
};

enum class ResponseType : uint8_t { kSingleton, kStream, kChunked };

/// Of a service: where it is told how long its requests took.
struct LatencyOptions {
  std::string subject = {};
  int sampling = 100;  ///< percent of the requests; 0 = only those whose headers ask for it
  bool operator==(const LatencyOptions&) const = default;
};

struct ExportOptions {
  std::string subject = {};
  bool service = false;  ///< else a stream
  /// Who may import it; empty = everybody (unless a token is needed).
  std::vector<std::string> accounts = {};
  bool token_required = false;  ///< importers bring an activation of the exporter (JWT mode)
  ResponseType response = ResponseType::kSingleton;
  std::chrono::nanoseconds threshold{0};  ///< how long an answer may take; 0 = two minutes
  uint32_t account_token_position = 0;    ///< that token of the subject is the importer; 0 = none
  bool allow_trace = false;
  std::optional<LatencyOptions> latency = {};
  bool operator==(const ExportOptions&) const = default;
};

struct ImportOptions {
  std::string account = {};
  std::string subject = {};  ///< as the exporter knows it
  std::string to = {};       ///< as it is known here; empty = the same
  std::string prefix = {};   ///< older form for streams: prefix.subject
  bool service = false;
  bool share = false;  ///< of services: the exporter learns who asks
  bool allow_trace = false;
  std::string activation = {};  ///< JWT, where the export needs one
  bool operator==(const ImportOptions&) const = default;
};

struct AccountOptions {
  std::string name = {};
  std::string nkey = {};  ///< public key "A…"; its other name
  std::string display_name = {};  ///< what tools show beside the name; "" = the name
  std::vector<UserOptions> users = {};
  std::optional<PermissionOptions> default_permissions = {};
  std::optional<JetStreamLimits> jetstream = {};  ///< unset = no JetStream in it
  /// Limits by replicas, "R1", "R3"…, in place of those for all streams: then `jetstream` is R1's.
  std::vector<std::pair<std::string, JetStreamLimits>> jetstream_tiers = {};
  int64_t max_connections = -1;
  int64_t max_subscriptions = -1;  ///< of one connection
  int64_t max_payload = -1;
  int64_t max_leafnodes = -1;
  std::vector<ExportOptions> exports = {};
  std::vector<ImportOptions> imports = {};
  std::vector<MappingOptions> mappings = {};
  std::string trace_destination = {};  ///< where sampled traceparent messages are traced to
  int trace_sampling = 100;            ///< percent
  bool operator==(const AccountOptions&) const = default;
};

/// Operator mode: accounts and users are what signed JWTs say.
struct OperatorMode {
  std::vector<std::string> operators = {};          ///< their JWTs
  std::vector<std::string> trusted_keys = {};       ///< public keys "O…" besides
  std::map<std::string, std::string> preload = {};  ///< account key "A…" → its JWT
  /// Folder of the full resolver; "" = the preloaded accounts are all there are.
  std::string directory = {};
  bool allow_delete = false;  ///< $SYS.REQ.CLAIMS.DELETE is obeyed
  bool enabled() const { return !operators.empty() || !trusted_keys.empty(); }
  bool operator==(const OperatorMode&) const = default;
};

}  // namespace sluice
