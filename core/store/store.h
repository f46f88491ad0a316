// One store directory: a journal shared by all its streams, their segments, their consumers' state.
//
// Loop thread owns it; pwrite, fdatasync and segment work run on its DiskWorker. Happy path: changes of
// a round gather in the round's buffer; at the end of the round (RoundPhase::kCommit) the batch goes
// to the worker as one write and one fdatasync, while the next round gathers; when it is on disk
// `durable` rises and the waiters run. Failure path: a failed write or fdatasync is never retried; the
// store goes read-only (failed() tells why) and nothing more is acknowledged.
// Format: docs/storage_format.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/ticket.h"
#include "crypto/sealer.h"
#include "io/env.h"
#include "store/stream_store.h"

namespace sluice {

struct StoreOptions {
  std::string dir;
  SyncMode sync = SyncMode::kAlways;
  std::chrono::milliseconds sync_interval{120'000};  ///< kInterval only
  uint64_t journal_file_bytes = 64 * kMiB;           ///< one journal file, pre-written
  uint64_t segment_max_bytes = 64 * kMiB;
  uint64_t cache_bytes = 64 * kMiB;                  ///< tail and block cache together
  uint64_t max_bytes = 0;                            ///< 0 = free space of the disk decides
  uint64_t reserve_bytes = 64 * kMiB;                ///< kept free so that deletes and acks go on when full
  uint64_t journal_max_bytes = kGiB;                 ///< beyond it commits wait for the journal to be retired; at least 8 files
  uint64_t scrub_bytes_per_second = 4 * kMiB;        ///< read to verify segments in the background; 0 = never
  std::chrono::seconds scrub_every{24 * 3600};       ///< pause between two passes over all segments
  /// Encrypts what is written from now on; null: nothing is. Old files are read with any of the keys, or as plain ones.
  std::shared_ptr<const SealingKeys> keys = nullptr;
};

/// Names a consumer's records; given out by put_consumer, never reused in a store directory.
using ConsumerKey = StrongId<struct ConsumerKeyTag>;

/// A stream as found on disk. `meta` is the stream room's own JSON (config and creation time).
struct RecoveredStream {
  std::string name;
  std::string meta;
};
/// A consumer as found on disk: its meta (config JSON) and its state, encoded by the consumer room.
struct RecoveredConsumer {
  ConsumerKey key;
  std::string stream;
  std::string name;
  std::string meta;
  std::string snapshot;             ///< last full state; empty = none yet
  std::vector<std::string> deltas;  ///< changes after it, in order
};

/// What recovery found and did; logged and shown by metrics.
struct RecoveryReport {
  uint64_t journal_batches = 0;
  uint64_t records = 0;
  uint64_t cut_bytes = 0;     ///< of the newest batch, when it was torn
  uint64_t cut_sequences = 0; ///< given out in batches that were cut or lost; never given out again
  uint64_t lost_records = 0;  ///< damaged records with good ones behind them
  std::vector<std::string> notes;
};

/// Something an operator should hear of.
struct StoreEvent {
  enum class Kind : uint8_t {
    kRepaired,  ///< a damaged page was rebuilt from parity
    kLost,      ///< message `seq` of `stream` can't be rebuilt
    kReadOnly,  ///< for good
    kNoSpace,   ///< messages are refused until there is space
    kSpace,     ///< and now there is
  } kind;
  std::string stream;
  StreamSeq seq;
  std::string detail;
};

class Store {
 public:
  virtual ~Store() = default;

  /// Opens or creates the directory: locks it, recovers. Blocking (start-up only).
  /// kExists: locked by another process; kUnsupported: a newer format; kDenied: encrypted, and `keys` do not fit; kIo.
  static Result<std::unique_ptr<Store>> open(Env& env, const StoreOptions& options);

  virtual const RecoveryReport& recovery() const = 0;
  virtual std::vector<RecoveredStream> streams() const = 0;
  /// Consumers of one stream as recovered. Meant for start-up, before the first change.
  virtual std::vector<RecoveredConsumer> consumers(std::string_view stream) const = 0;

  /// Creates a stream on file; kExists when the name is taken. The pointer lives until delete_stream.
  virtual Result<StreamStore*> create_stream(std::string_view name, std::string_view meta,
                                             StreamSeq first_seq) = 0;
  virtual StreamStore* find_stream(std::string_view name) = 0;
  virtual void update_stream_meta(std::string_view name, std::string_view meta) = 0;
  /// Also drops its consumers' records.
  virtual void delete_stream(std::string_view name) = 0;

  /// Creates it, or replaces its meta (state is kept, the key is the same).
  virtual ConsumerKey put_consumer(std::string_view stream, std::string_view name,
                                   std::string_view meta) = 0;
  virtual void delete_consumer(ConsumerKey key) = 0;
  /// A change of a consumer's state, opaque bytes. Now and then the store asks for a full snapshot
  /// (set_snapshot_source), so that old journal files can be retired.
  virtual void append_consumer_delta(ConsumerKey key, std::string_view delta) = 0;
  virtual void set_consumer_snapshot_source(std::function<std::string(ConsumerKey)> source) = 0;

  /// Number of the newest change made, and of the newest that is on disk (SyncMode::kInterval and
  /// kNone: in the kernel).
  virtual CommitNo last_commit() const = 0;
  virtual CommitNo durable() const = 0;
  /// Runs `done` when durable() ≥ `commit`: at once when it is already, otherwise from the loop,
  /// in order of commit. Never runs after a failure; failed() then tells.
  virtual void when_durable(CommitNo commit, std::move_only_function<void()> done) = 0;
  /// Runs `done` from a later turn of the loop, when nothing is left on the disk of the messages erased so far
  /// (StreamStore::remove). Never runs after a failure.
  virtual void when_erased(std::move_only_function<void()> done) = 0;
  /// Called on every rise of durable(), before the waiters. One listener for each stream room.
  virtual void on_durable(std::move_only_function<void(CommitNo)> listener) = 0;

  /// Empty when new messages are accepted; else why not: kNoSpace (goes away by itself when space
  /// returns; removals and acks still work) or kIo (for good).
  virtual Status writable() const = 0;
  /// Called on the loop for each event. One listener.
  virtual void on_event(std::move_only_function<void(const StoreEvent&)> listener) = 0;
  virtual bool failed() const = 0;

  /// Writes and syncs what is left; `done` then runs. No change may follow.
  virtual void close(std::move_only_function<void(Status)> done) = 0;

  virtual void collect(MetricSink& sink) const = 0;
};

/// A stream in memory. Same semantics, everything durable at once.
std::unique_ptr<StreamStore> make_memory_store(StreamSeq first_seq);

}  // namespace sluice
