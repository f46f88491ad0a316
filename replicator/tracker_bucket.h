// The tracker's state in a key-value bucket at the source, so that it survives a fail-over without a common disk.
//
// One key for each value: `tracker.<copy>.<digest of the value>`, the item as it is gossiped. The leader writes
// what changed, once a second and boundedly many; who waits follows the bucket. Who becomes leader
// first puts a mark there, with the token of its term: once it is read back, everything written before has been read,
// and copying begins.
// The mark is the fence too: each item is written only while the mark has the revision that its writer gave it, so of a
// leader whose term has passed nothing is taken any more. A mark is put only in the place of one that was looked at,
// and not in that of a higher token. It is put anew before the bucket forgets it.
//
// Failures: a bucket that is missing is made. One that can't be read within 10 s of leading holds the copy up no
// longer: values count as known so far, and that is told. What could not be written is tried again. Refused: the mark is looked
// at. A higher token stands there: another one leads, and the election will say so; when it does not within 10 s, its own
// bucket was made anew, and the mark is taken. A server that does not know the fence is written to without one.
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
  uint64_t refused = 0;  ///< writes, because another one had put its mark
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
  void lead(uint64_t token, std::move_only_function<void()> on_ready);
  void rest();
  bool ready() const { return leads_ && ready_; }
  /// Another one's later term was seen in the bucket.
  bool superseded() const { return superseded_; }
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
  void on_mark(const KvEntry& mark);
  void look_at_mark();
  void weigh_mark(const Result<KvEntry>& mark);
  void keep_mark();
  bool may_write() const { return bucket_ && ready() && !marking_.active() && (!fence_.is_zero() || is_unfenced_); }
  void begin();
  void lost(const std::string& why);
  void tick();
  void pump();
  std::optional<Write> next();
  void write(Write what);
  void on_written(uint64_t number, const Status& status);
  void on_refused(uint16_t api_code);
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
  uint64_t token_ = 0;      ///< of our term
  std::string mark_;        ///< as we put it last
  StreamSeq seen_mark_;     ///< whose place ours takes; zero = none was seen
  uint64_t seen_token_ = 0;
  StreamSeq fence_;         ///< our mark's revision; zero = it does not stand
  MonoTime marked_at_{};
  bool superseded_ = false;
  MonoTime superseded_at_{};
  bool is_unfenced_ = false;
  size_t most_in_flight_;   ///< 1 where a cluster takes one fenced write after the other
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
