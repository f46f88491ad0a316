// The tracker's state in a key-value bucket at the source, so that it survives a fail-over without a common disk.
//
// One key for each value: `tracker.<copy>.<digest of the value>`, the item as it is gossiped. The leader writes
// what changed, once a second and boundedly many; who waits follows the bucket. Who becomes leader
// first puts a mark there: once it is read back, everything written before has been read, and copying begins.
//
// Failures: a bucket that is missing is made. One that can't be read within 10 s of leading holds the copy up no
// longer: values count as known so far, and that is told. What could not be written is tried again.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "client/kv.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/tracker.h"

namespace sluice {

struct TrackerBucketFigures {
  uint64_t read = 0;     ///< items, also those of one's own
  uint64_t bad = 0;      ///< entries that are none
  uint64_t written = 0;
  uint64_t failed = 0;   ///< writes, tried again
  uint64_t dropped = 0;  ///< expired ones that were not told: they go with the bucket's TTL
  uint64_t unread = 0;   ///< times that leading began without the bucket's state
};

/// Loop thread only. `control` speaks to the source; it and the tracker outlive this.
class TrackerBucket {
 public:
  /// `period` of sampling: an item is of use for twice that long.
  TrackerBucket(Env& env, StreamClient& control, std::string bucket, const std::string& copy_id,
                std::chrono::nanoseconds period, Tracker& tracker);

  /// Opens it and follows it.
  void start();
  /// `on_ready` runs once, later: what others wrote is known.
  void lead(std::move_only_function<void()> on_ready);
  void rest();
  bool ready() const { return leads_ && ready_; }
  /// The tracker holds it no more.
  void expired(std::string_view value, const TrackedItem& item);
  /// Writes what waits, for a second at most; `done` runs once, later.
  void stop(std::move_only_function<void()> done);

  size_t waiting() const { return tracker_.changed_count() + expired_.size() + writing_.size(); }
  const TrackerBucketFigures& figures() const { return figures_; }

 private:
  struct Write {
    std::string value;
    TrackedItem item;
    bool expired = false;
  };
  void open();
  void on_opened(Result<std::unique_ptr<KvBucket>> opened);
  void make();
  void follow();
  void on_entry(const KvEntry& entry);
  void on_current();
  void put_mark();
  void begin();
  void lost(const std::string& why);
  void tick();
  void pump();
  std::optional<Write> next();
  void write(Write what);
  void on_written(uint64_t number, const Status& status);
  void finish_stop();

  Env& env_;
  StreamClient& control_;
  const std::string name_;
  const std::string copy_id_;
  const std::string prefix_;
  const std::chrono::nanoseconds period_;
  Tracker& tracker_;
  Logger log_{"replicator"};
  TrackerBucketFigures figures_;
  std::string trouble_;
  std::unique_ptr<KvBucket> bucket_;
  std::unique_ptr<KvWatch> watch_;
  bool current_ = false;
  bool leads_ = false;
  bool ready_ = false;
  std::string mark_;
  std::move_only_function<void()> on_ready_;
  std::move_only_function<void()> stopped_;
  std::deque<Write> expired_;
  std::map<uint64_t, std::pair<Write, Ticket>> writing_;
  uint64_t writes_ = 0;
  size_t share_ = 0;  ///< of this second's writes, what is left
  std::unique_ptr<Timer> tick_timer_;
  std::unique_ptr<Timer> open_timer_;
  std::unique_ptr<Timer> ready_timer_;
  std::unique_ptr<Timer> tell_timer_;
  std::unique_ptr<Timer> stop_timer_;
  Ticket opening_;
  Ticket marking_;
};

}  // namespace sluice
