// The durable queue of a spool: five priorities, each with a reliable and a plain lane, and the quarantine.
//
// Happy path: submit() appends to the lane's stream in a store of its own (core/store) and answers when that
// is on disk; the sender looks at head(), and remove()s what the other end has; the removal gets durable
// with the next batch. Reliable messages of one priority leave strictly in the order of submit(); plain ones
// have a lane of their own, so that they do not wait behind a reliable one that fails.
// Failures: a full queue or disk refuses (kFull, kNoSpace) while removals go on; what can't be sent is moved to
// the quarantine with its reason, never deleted; a failed store answers kIo and stays so (broken()).
// Loop thread only. No callback may destroy the queue.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "base/ticket.h"
#include "io/env.h"
#include "spool/entry.h"
#include "spool/options.h"
#include "spool/timeline.h"
#include "store/store.h"

namespace sluice {

struct SpoolLane {
  uint8_t priority = 0;
  bool reliable = false;
  auto operator<=>(const SpoolLane&) const = default;
};
/// All ten, reliable ones first.
std::array<SpoolLane, 2 * kSpoolPriorities> all_spool_lanes();

/// Names one entry of a lane or (quarantined) of the quarantine.
struct SpoolPlace {
  SpoolLane lane{};
  bool quarantined = false;
  StreamSeq seq{};
  bool operator==(const SpoolPlace&) const = default;
};

struct QueuedEntry {
  SpoolPlace place;
  SpoolEntry entry;
};

/// Why entries leave for the quarantine; the words stand in figures and in `sluice spool ls`.
inline constexpr std::string_view kReasonExpired = "expired";
inline constexpr std::string_view kReasonTries = "tries";
inline constexpr std::string_view kReasonTooLarge = "too_large";
inline constexpr std::string_view kReasonMalformed = "malformed";
inline constexpr std::string_view kReasonInvalid = "invalid";
inline constexpr std::string_view kReasonDropped = "dropped";

class SpoolQueue {
 public:
  struct Accepted {
    std::string id;
    bool duplicate = false;  ///< the same id waits already: this one was not kept
    SpoolPlace place{};
  };
  using SubmitDone = std::move_only_function<void(Result<Accepted>)>;
  struct LaneFigures {
    SpoolLane lane;
    uint64_t messages = 0;
    uint64_t bytes = 0;
    std::chrono::nanoseconds oldest{0};  ///< how long the oldest has waited
  };
  struct Figures {
    uint64_t submitted = 0, duplicates = 0, removed = 0, replayed = 0;
    std::map<std::string, uint64_t, std::less<>> refused;      ///< by reason
    std::map<std::string, uint64_t, std::less<>> quarantined;  ///< by reason, since the start
    uint64_t quarantine_messages = 0, quarantine_bytes = 0;
    uint64_t quarantine_forgotten = 0;  ///< pushed out of a full quarantine
    uint64_t clock_jumps = 0;
  };

  /// Opens or creates the folder. Blocking. Errors of Store::open.
  static Result<std::unique_ptr<SpoolQueue>> open(Env& env, SpoolQueueOptions options);
  ~SpoolQueue();
  SpoolQueue(const SpoolQueue&) = delete;
  SpoolQueue& operator=(const SpoolQueue&) = delete;

  /// `done` runs once, later: when the message is on disk, or with kInvalidArgument, kFull (count or bytes),
  /// kNoSpace, kIo. Dropping the queue drops it. `held`: head() does not show it before release().
  void submit(Submission submission, bool held, SubmitDone done);
  /// Straight into the quarantine: what came in some way and can't be a submission. Never refused for fullness.
  void submit_quarantined(Submission broken, std::string_view reason, std::string_view text, SubmitDone done);
  void release(const SpoolPlace& place);
  /// Whether submit() would find room now.
  bool has_room(const Submission& submission) const { return room_for(submission).has_value(); }

  /// The oldest entry of a lane that is on disk and not held. Expired ones are moved away first.
  std::optional<QueuedEntry> head(SpoolLane lane);
  /// The other end has it.
  void remove(const SpoolPlace& place);
  /// Removals of this lane that are not on disk yet: after a crash that many are sent again.
  size_t unsettled(SpoolLane lane) const { return state(lane).unsettled; }
  /// One more failed try of the lane's head; kept across restarts.
  void count_try(const SpoolPlace& place);
  uint32_t tries_of(const SpoolPlace& place) const;
  /// Out of its lane, kept with the reason.
  void quarantine(const SpoolPlace& place, std::string_view reason, std::string_view text);

  /// Back into its lane as the newest, with a fresh TTL and no tries. kNotFound; kFull, kNoSpace.
  void replay(const SpoolPlace& quarantined, SubmitDone done);
  /// Forgets a quarantined entry for good. @return false when there is none.
  bool discard(const SpoolPlace& quarantined);

  /// Walks all lanes; what can't be sent as it is goes to the quarantine. @return how many.
  uint64_t repair();

  std::optional<QueuedEntry> load(const SpoolPlace& place);
  /// The next entry of a lane or of the quarantine with sequence ≥ `from`; held ones too.
  std::optional<QueuedEntry> next(SpoolLane lane, StreamSeq from);
  std::optional<QueuedEntry> next_quarantined(StreamSeq from);
  std::optional<SpoolPlace> find(std::string_view id) const;

  /// Told (later) when a head may have appeared: an entry got durable or was released, or a removal settled.
  void on_change(std::move_only_function<void()> listener) { changed_ = std::move(listener); }

  std::vector<LaneFigures> lanes();
  const Figures& figures() const { return figures_; }
  const RecoveryReport& recovery() const { return store_->recovery(); }
  SpoolTime now() const { return timeline_.now(); }
  /// kNoSpace or kIo when submissions are refused for the disk's sake; says which folder, and what to do.
  Status writable() const;
  bool broken() const { return store_->failed(); }
  /// `done` runs, later, when everything asked for so far is on disk (kIo: never will be).
  void when_settled(std::move_only_function<void(Status)> done) { wait_durable(std::move(done)); }
  void close(std::move_only_function<void(Status)> done);
  void collect(MetricSink& sink);

 private:
  struct Lane {
    StreamStore* stream = nullptr;
    ConsumerKey key{};
    StreamSeq durable{};             ///< up to here (in) entries are on disk
    std::set<StreamSeq> held;  ///< few: they wait for their files to be gone
    size_t unsettled = 0;
    StreamSeq tried{};  ///< the head that `tries` counts for
    uint32_t tries = 0;
    SpoolTime earliest = INT64_MAX;  ///< no entry behind the head expires before
    SpoolTime earliest_ahead = INT64_MAX;  ///< the same of those that the sweep under way has passed
    StreamSeq swept{};               ///< where the sweep is; 0 = none under way
  };
  struct Waiter {
    CommitNo commit;
    std::move_only_function<void(Status)> done;
  };

  SpoolQueue(Env& env, SpoolQueueOptions options);
  Status open_store();
  Status open_lane(SpoolLane lane);
  void scan(SpoolLane lane);
  void scan_quarantine();
  Lane& state(SpoolLane lane) { return lanes_[lane.priority][lane.reliable ? 1 : 0]; }
  const Lane& state(SpoolLane lane) const { return lanes_[lane.priority][lane.reliable ? 1 : 0]; }
  StreamStore& stream_of(const SpoolPlace& place) { return place.quarantined ? *quarantine_ : *state(place.lane).stream; }
  Status room_for(const Submission& submission) const;
  void refuse(Error why, SubmitDone done);
  Result<SpoolPlace> append(const SpoolEntry& entry, bool quarantined);
  void keep_quarantine_small();
  void wait_durable(std::move_only_function<void(Status)> done);
  void run_waiters(CommitNo durable);
  void fail_waiters();
  SpoolEntry make_entry(Submission submission) const;
  bool has_expired(const SpoolEntry& entry) const { return entry.expires <= timeline_.now(); }
  void tick();
  bool sweep(SpoolLane lane);
  void keep_ticking();
  void mark_when_due();
  void write_mark();
  std::string snapshot(ConsumerKey key) const;
  void tell_changed();
  void forget(const std::string& id, const SpoolPlace& place);

  Env& env_;
  SpoolQueueOptions options_;
  SpoolTimeline timeline_;
  std::unique_ptr<Store> store_;
  std::array<std::array<Lane, 2>, kSpoolPriorities> lanes_{};
  StreamStore* quarantine_ = nullptr;
  ConsumerKey clock_key_{};
  std::unordered_map<size_t, SpoolPlace> ids_;  ///< hash of the id → where it waits (lanes and quarantine)
  std::deque<Waiter> waiters_;
  std::move_only_function<void()> changed_;
  bool change_posted_ = false;
  std::optional<MonoTime> marked_;
  Figures figures_;
  std::unique_ptr<Timer> timer_;        ///< sweeps and marks; sleeps while the queue is empty
  std::unique_ptr<Timer> stuck_timer_;  ///< looks after the waiters of a disk that fails
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
