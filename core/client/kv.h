// Key-value buckets (ADR-8, ADR-48): a bucket is a stream, a key a subject in it, a value the last
// message there. Written once on StreamClient, so it works on the embedded core and on any server.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/ticket.h"
#include "client/kv_watch.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

inline constexpr int64_t kMaxKvHistory = 64;

struct KvRepublish {
  std::string source;  ///< empty = every key
  std::string destination;
  bool headers_only = false;
};

/// Options of a bucket to make. Limits: -1 or 0 = none.
struct KvBucketSpec {
  std::string bucket{};
  std::string description{};
  int64_t history = 1;  ///< revisions kept of a key, 1 to 64
  std::chrono::nanoseconds ttl{0};
  int64_t max_value_bytes = -1;
  int64_t max_bytes = -1;
  bool memory = false;
  bool compress = false;
  int replicas = 1;
  /// Keys that end by their TTL leave a marker, which watchers see, for this long; it also allows a TTL
  /// for a single key. Zero = off, otherwise at least a second.
  std::chrono::nanoseconds marker_ttl{0};
  std::string placement_cluster{};
  std::vector<std::string> placement_tags{};
  std::optional<KvRepublish> republish{};
  std::map<std::string, std::string> metadata{};
  std::string mirror{};              ///< bucket that this one mirrors, "bucket" or "domain/bucket"
  std::vector<std::string> sources{};  ///< buckets whose keys are copied into this one, likewise
};

struct KvStatus {
  KvBucketSpec spec;
  bool allow_direct = false;
  uint64_t values = 0;  ///< messages: revisions and markers
  uint64_t keys = 0;    ///< that have one
  uint64_t bytes = 0;
  WallNanos created = 0;
  StreamSeq last_revision;
};

/// The stream's configuration, as STREAM.CREATE takes it. @return kInvalidArgument for a name or an
/// option out of its range.
Result<std::string> encode_kv_bucket(const KvBucketSpec& spec);
/// From STREAM.INFO. @return kCorrupt when the stream is no bucket.
Result<KvStatus> parse_kv_bucket(std::string_view info);

/// Loop thread only; `done`s come once, later, on the loop.
class KvBucket {
 public:
  /// Makes a bucket. Errors of the server by its codes: 10058 when the name is in use with other options.
  static Ticket make(Env& env, StreamClient& client, const KvBucketSpec& spec,
                     std::move_only_function<void(Result<KvStatus>)> done);
  /// Finds a bucket. `api_prefix` is the client's. kNotFound (10059) when it is not there.
  static Ticket open(Env& env, StreamClient& client, std::string bucket, std::string api_prefix,
                     std::move_only_function<void(Result<std::unique_ptr<KvBucket>>)> done);

  const std::string& name() const { return status_.spec.bucket; }
  /// As it was when opened.
  const KvStatus& status() const { return status_; }
  /// A bucket without TTL markers refuses a TTL for single keys.
  bool allows_key_ttl() const { return status_.spec.marker_ttl.count() != 0; }

  Ticket put(std::string_view key, std::string_view value,
             std::move_only_function<void(Result<StreamSeq>)> done);
  /// Only when the key has no value: kExists (10071) otherwise. `ttl` zero = the bucket's own.
  Ticket create(std::string_view key, std::string_view value, std::chrono::nanoseconds ttl,
                std::move_only_function<void(Result<StreamSeq>)> done);
  /// Only when `expected` is the key's last revision: kRefused (10071) otherwise.
  Ticket update(std::string_view key, std::string_view value, StreamSeq expected,
                std::move_only_function<void(Result<StreamSeq>)> done);
  /// Only while another key still has this revision: kRefused (10071) otherwise. A server before 2.12 takes it for the last
  /// revision of `key` itself. A cluster may refuse one while another such write is on its way (10164).
  Ticket put_while(std::string_view key, std::string_view value, std::string_view other_key, StreamSeq its_revision,
                   std::move_only_function<void(Result<StreamSeq>)> done);
  /// Leaves a delete marker, keeps the history. `expected` as update(); nullopt = whatever stands there.
  Ticket remove(std::string_view key, std::optional<StreamSeq> expected,
                std::move_only_function<void(Result<StreamSeq>)> done);
  /// Drops the history too and leaves one marker, which goes away after `marker_ttl` (zero = stays).
  Ticket purge(std::string_view key, std::optional<StreamSeq> expected,
               std::chrono::nanoseconds marker_ttl,
               std::move_only_function<void(Result<StreamSeq>)> done);

  /// kNotFound when there is none, or only a marker.
  Ticket get(std::string_view key, std::move_only_function<void(Result<KvEntry>)> done);
  /// That revision, a marker too; kNotFound when it is not one of this key.
  Ticket get_revision(std::string_view key, StreamSeq revision,
                      std::move_only_function<void(Result<KvEntry>)> done);
  /// All revisions kept, oldest first.
  Ticket history(std::string_view key,
                 std::move_only_function<void(Result<std::vector<KvEntry>>)> done);
  /// Sorted; only those with a value. kFull beyond `max_count`.
  Ticket keys(std::string_view filter, size_t max_count,
              std::move_only_function<void(Result<std::vector<std::string>>)> done);
  std::unique_ptr<KvWatch> watch(KvWatchOptions options, KvWatchEvents events);

 private:
  KvBucket(Env& env, StreamClient& client, KvStatus status, std::string_view info,
           std::string api_prefix);
  /// Checks the key; @return the error's ticket when it can't be one.
  template <class T>
  std::optional<Ticket> refuse_key(std::string_view key,
                                   std::move_only_function<void(Result<T>)>& done);
  Ticket write(std::string_view key, const std::string& headers, std::string_view value,
               std::move_only_function<void(Result<StreamSeq>)> done);
  Ticket fetch(const std::string& target, const std::string& body, const std::string& key,
               std::move_only_function<void(Result<KvEntry>)> done);

  Env& env_;
  StreamClient& client_;
  KvStatus status_;
  std::string api_prefix_;
  std::string stream_;
  std::string read_prefix_;   ///< before the key, in stored subjects
  std::string write_prefix_;  ///< before the key, where to publish
};

}  // namespace sluice
