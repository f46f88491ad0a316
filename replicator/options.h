// Settings of the replicator. Plain data; config/ fills it from Sluice's own file or from a file of
// Choria's Stream Replicator. Keys of the same name mean the same in both.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time_format.h"
#include "client/link_options.h"

namespace sluice {

/// What becomes of the position when source messages vanished before they were copied.
enum class OnGap : uint8_t {
  kContinue,  ///< count them as lost, go on with what is there
  kStop,      ///< wait for a person
  kRestart,   ///< begin again by the start settings
};

enum class TargetWriters : uint8_t {
  kAuto,       ///< exclusive until somebody else is seen to write there
  kExclusive,  ///< only this copy: each message is fenced by the target's last sequence
  kShared,     ///< others write there too: order is kept for each subject
};

/// PEM files; a whole one replaces another, field by field they are never mixed.
struct TlsFiles {
  std::string ca;
  std::string cert;
  std::string key;
};

/// How Choria's programs sign in at their broker; a whole one replaces another.
struct ChoriaLogin {
  std::string jwt_file;
  std::string seed_file;               ///< of the token's key, 64 hexadecimal digits
  std::string collective = "choria";   ///< whose replies the broker lets through
};

inline constexpr const char* kLocalZone = "Local";

/// Another rate between two times of the day; `from` later than `to`: over midnight.
struct PaceWindow {
  std::chrono::minutes from{0};  ///< since midnight; the minute `to` is not in
  std::chrono::minutes to{0};
  uint64_t rate = 0;
};

/// Bytes a second that a copy may send to its target.
struct PaceOptions {
  uint64_t rate = 0;              ///< outside of the schedule; 0 = no bound
  std::string zone = kLocalZone;  ///< of the schedule's times; IANA's name
  std::vector<PaceWindow> schedule{};  ///< the first that fits holds
  bool enabled() const { return rate != 0 || !schedule.empty(); }
};

struct AdvisoryOptions {
  std::string subject{};    ///< `%s` becomes the event, `%v` the value; empty = no advisories
  bool reliable = false;  ///< ask for the stream's ack and try again
};

/// How values are sampled: one of field, header and token, or none.
struct InspectOptions {
  std::string field{};        ///< path into the JSON body
  std::string header{};
  int32_t subject_token = 0;  ///< 0 = off, from 1, -1 = the whole subject
  std::string force_field{};  ///< a body that has it is copied
  std::chrono::nanoseconds duration{0};
  std::chrono::nanoseconds warn{0};  ///< zero = half of duration
  double size_trigger = 0;           ///< bytes; 0 = off
  size_t max_tracked = 1'000'000;
  std::string state_bucket{};        ///< at the source, what is known of values; empty = none
  AdvisoryOptions advisory{};

  bool enabled() const { return !field.empty() || !header.empty() || subject_token != 0; }
  std::chrono::nanoseconds warn_after() const { return warn.count() != 0 ? warn : duration / 2; }
};

/// One stream copied in one direction.
struct StreamCopyOptions {
  std::string name;           ///< the worker in the provenance header; default: the replicator's name
  std::string stream;         ///< at the source
  std::string target_stream;  ///< default: the same name
  LinkOptions source;         ///< embedded by default
  LinkOptions target;
  std::optional<TlsFiles> tls, source_tls, target_tls;  ///< given apart from the URLs
  std::optional<ChoriaLogin> choria, source_choria, target_choria;

  std::string filter_subject;                ///< empty = everything
  std::vector<std::string> filter_subjects;  ///< several
  std::string target_subject_prefix;
  std::string target_subject_remove;
  /// Source pattern and destination, the first that matches; before prefix and removal.
  std::vector<std::pair<std::string, std::string>> subject_transforms;

  bool target_initiated = false;
  bool create_target = true;   ///< make the target stream when it is missing
  bool update_target = false;  ///< and keep its configuration like the source's
  int32_t target_replicas = 1;
  bool ephemeral = false;      ///< begin anew at each start
  bool start_at_end = false;
  uint64_t start_sequence = 0;
  std::chrono::nanoseconds start_delta{0};
  WallNanos start_time = 0;    ///< 0 = not given
  std::chrono::nanoseconds max_age{0};
  InspectOptions inspect;
  uint32_t max_hops = 0;       ///< leave out what was copied so often already; 0 = never
  std::string leader_election_name;

  size_t window_messages = 32'768;             ///< on their way to the target, not yet acknowledged
  size_t window_bytes = 16 * 1024 * 1024;      ///< the most; it is used up on long ways only
  PaceOptions pace;
  std::optional<LinkCompression> compression;  ///< of both links; none = as each says itself
  OnGap on_gap = OnGap::kContinue;
  TargetWriters target_writers = TargetWriters::kAuto;
  std::string fence_subject;        ///< of a shared target: where the mark stands that fences its copies; empty = none
  bool message_ids = true;          ///< give a Nats-Msg-Id to messages without one
  std::string dead_letter_subject;  ///< where a message goes that the target refuses; empty = wait
  uint32_t max_tries = 5;           ///< before that

  /// What tells the copies of one replicator apart; names its state files and metrics.
  std::string id() const { return stream + "_" + name; }
  std::vector<std::string> filters() const {
    return filter_subject.empty() ? filter_subjects : std::vector<std::string>{filter_subject};
  }
};

struct HeartbeatSubject {
  std::string subject;
  std::chrono::nanoseconds interval{0};  ///< zero = that of all
  std::map<std::string, std::string> headers;
};

struct HeartbeatOptions {
  LinkOptions target;  ///< where they are published
  std::optional<TlsFiles> tls;
  std::optional<ChoriaLogin> choria;
  std::chrono::nanoseconds interval = std::chrono::seconds(10);
  std::map<std::string, std::string> headers;
  std::vector<HeartbeatSubject> subjects;
  bool leader_election = false;
};

struct ReplicatorOptions {
  std::string name = "sluice";  ///< of this replicator; first of the names in the provenance header
  std::string state_dir;        ///< positions and trackers, beside what the targets themselves tell
  std::string election_bucket = "CHORIA_LEADER_ELECTION";
  bool choria_metrics = false;  ///< Stream Replicator's metric names beside ours
  std::optional<TlsFiles> tls;
  std::optional<ChoriaLogin> choria;
  std::vector<StreamCopyOptions> streams;
  HeartbeatOptions heartbeats;
};

}  // namespace sluice
