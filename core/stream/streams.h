// All streams of one account: create, update, delete, find; routes publishes to the right one.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "io/env.h"
#include "store/store.h"
#include "stream/batch_limits.h"
#include "stream/offline.h"
#include "stream/server_room.h"
#include "stream/stream.h"

namespace sluice {

struct StreamsOptions {
  int64_t max_streams = -1;
  int64_t max_file_bytes = -1;    ///< account limit over all file streams; -1 = none
  int64_t max_memory_bytes = -1;
  ServerRoom* room = nullptr;     ///< of all accounts; nullptr = without limit
  int64_t max_file_stream_bytes = -1;    ///< largest max_bytes of one stream; -1 = none
  int64_t max_memory_stream_bytes = -1;
  bool max_bytes_required = false;       ///< every stream must have max_bytes
  bool no_tier = false;                  ///< the account may have streams of more replicas only: none here
  std::chrono::nanoseconds max_duplicate_window{0};  ///< 0 = no server limit
  std::string domain;             ///< shown in PubAcks when set
  std::string account;            ///< whose streams these are
  Bus* system_bus = nullptr;      ///< hears of batches that were given up, beside the account; nullptr = nobody
  size_t max_buffered_msgs = 100'000;            ///< appended, not yet durable, of one stream; beyond: 429/10167
  size_t max_buffered_bytes = 128 * kMiB;
  int api_level = 0;              ///< direct gets and batches that ask for more are refused
  BatchLimits batches;
};

/// A stream that is rebuilt from a backup. Nobody sees it before finish(); dropped before that, or after a
/// crash, nothing of it is left.
class StreamRestore {
 public:
  virtual ~StreamRestore() = default;
  /// One message under its own sequence, which rises. kCorrupt when it does not; limits with API codes.
  virtual Status append(const StoredMessage& message) = 0;
  /// Runs `done` when everything appended so far is on disk.
  virtual void when_durable(std::move_only_function<void()> done) = 0;
  /// `last`: the newest sequence that was given out, `last_time`: when; counts where its message is gone. The
  /// stream is there afterwards. Once.
  virtual Result<Stream*> finish(StreamSeq last, WallNanos last_time) = 0;
};

class Streams {
 public:
  virtual ~Streams() = default;

  /// Recovers the streams of `store` (nullptr = memory streams only) and subscribes their subjects.
  static std::unique_ptr<Streams> make(Env& env, Bus& bus, Store* store, const StreamsOptions& options);

  /// `config` as parsed and normalised by parse_stream_config(). Errors carry api codes: 10058, 10065, …
  /// An identical existing stream is a success.
  virtual Result<Stream*> create(const StreamConfig& config) = 0;
  virtual Result<Stream*> update(const StreamConfig& config) = 0;
  /// A checked configuration whose name is free. Errors as of create(), 10130 instead of 10058.
  virtual Status check_restore(const StreamConfig& config) = 0;
  virtual Result<std::unique_ptr<StreamRestore>> restore(const StreamConfig& config, StreamSeq first) = 0;
  /// Tells observers, then removes stream and files. 10059.
  virtual Status remove(std::string_view name) = 0;
  virtual Stream* find(std::string_view name) = 0;
  /// In order of name.
  virtual void each(const std::function<void(Stream&)>& visit) = 0;
  virtual size_t size() const = 0;
  /// On disk, not served; remove() takes them too.
  virtual const OfflineStreams& offline() const = 0;

  /// Called after a stream was created (also at recovery, from make's caller via each()) or before one
  /// is deleted: the consumer room keeps its consumers in step.
  virtual void on_created(std::move_only_function<void(Stream&)> listener) = 0;
  /// Called after an update that changed something.
  using UpdateListener = std::move_only_function<void(Stream&, const StreamConfig& before)>;
  virtual void on_updated(UpdateListener) {}
  virtual void on_deleting(std::move_only_function<void(Stream&)> listener) = 0;

  /// New limits of the account, out of `options`, whose other members are not looked at. What is there stays,
  /// whatever they say.
  virtual void set_limits(const StreamsOptions& options) = 0;

  virtual void collect(MetricSink& sink) const = 0;
};

}  // namespace sluice
