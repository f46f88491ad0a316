// Samples a stream: of each value one message in a period goes along, more when its size jumps.
//
// The tracker behind it lives in `<state dir>/<stream>_<worker>.json`, Stream Replicator's own file, and is
// gossiped on the source to other replicators of the same worker, so that a fail-over does not copy
// everything again; and, when there is one, in a bucket at the source (tracker_bucket.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/log.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/advisor.h"
#include "replicator/inspector.h"
#include "replicator/options.h"
#include "replicator/tracker.h"
#include "replicator/tracker_bucket.h"

namespace sluice {

struct LimiterFigures {
  uint64_t without_value = 0;
  uint64_t forced = 0;
  uint64_t gossip_heard = 0;
  uint64_t gossip_bad = 0;
  uint64_t save_failures = 0;
};

/// Loop thread only.
class Limiter {
 public:
  /// `control` speaks to the source and outlives this.
  static Result<std::unique_ptr<Limiter>> make(Env& env, const StreamCopyOptions& options, const std::string& replicator,
                                               const std::string& state_dir, StreamClient& control);

  /// Reads the state file, begins with the bucket. Active.
  void start();
  /// Another one leads: listens to gossip and follows the bucket, says nothing.
  void rest();
  /// `on_ready` runs once what is known of values has been read: at once without a bucket, not at all when it rests before that.
  /// Nothing is to be judged until then. `token` of the election's term; 0 = there is none.
  void lead(uint64_t token, std::move_only_function<void()> on_ready = nullptr);
  /// Saves; `done` runs once, later.
  void stop(std::move_only_function<void()> done);

  struct Verdict {
    bool copy = true;
    std::string value{};  ///< empty = not tracked
  };
  /// Decides, and notes that the value was seen. One that is to be copied counts as copied from here on;
  /// it is kept for the state file by copied().
  Verdict judge(std::string_view subject, std::string_view headers, std::string_view payload);
  /// Of a message that was left out for one that vanished() since: what was decided about later ones does not count.
  Verdict judge_again(std::string_view subject, std::string_view headers, std::string_view payload);
  std::string value_of(std::string_view subject, std::string_view headers, std::string_view payload) const {
    return inspector_.look(subject, headers, payload).value;
  }
  void copied(const std::string& value);
  /// What was to be copied went before it was: the value counts as not copied by it.
  void vanished(const std::string& value);

  const Tracker& tracker() const { return tracker_; }
  const Advisor* advisor() const { return advisor_.get(); }
  const LimiterFigures& figures() const { return figures_; }
  const TrackerBucket* bucket() const { return bucket_.get(); }

 private:
  struct Underway {
    WallNanos decided = 0;
    uint64_t count = 0;
  };
  Limiter(Env& env, const StreamCopyOptions& options, const std::string& replicator, std::string state_dir,
          StreamClient& control, Inspector inspector);
  /// `copied`: the last time that it was, or was decided to be; kZeroTime = never.
  bool should_copy(const TrackedItem* known, WallNanos copied, WallNanos now, double size);
  WallNanos decided(const std::string& value) const;
  void take(const std::string& value, WallNanos now);
  void tell_seen(std::string_view value, const TrackedItem* before, WallNanos now);
  void tick();
  void look_for_silence();
  void save_file(std::move_only_function<void()> done);
  void save(std::move_only_function<void()> then);
  std::string file() const { return copy_id_ + ".json"; }

  Env& env_;
  const InspectOptions options_;
  const std::string copy_id_;
  const std::string state_dir_;
  const std::string gossip_subject_;
  StreamClient& control_;
  Inspector inspector_;
  Logger log_{"replicator"};
  Tracker tracker_;
  LimiterFigures figures_;
  std::unordered_map<std::string, Underway> underway_;  ///< decided, not settled; bounded by the copy's window
  bool active_ = true;
  bool saving_ = false;
  std::unique_ptr<Advisor> advisor_;
  std::unique_ptr<TrackerBucket> bucket_;
  std::unique_ptr<DiskWorker> worker_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<LinkSubscription> gossip_;
  std::move_only_function<void()> stopped_;
};

}  // namespace sluice
