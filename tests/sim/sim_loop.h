// The simulated loop: virtual time, events, rounds. Everything runs on the caller's thread, inside
// SimEnv::run_until_idle() and its like; nothing happens between those calls.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "io/clock.h"
#include "io/executor.h"
#include "io/mailbox.h"
#include "io/poller.h"
#include "io/timers.h"
#include "sim/sim_random.h"

namespace sluice::sim {

/// Virtual time. Moves only between rounds.
class SimClock : public Clock {
 public:
  MonoTime now() const override { return now_; }
  WallNanos wall() const override { return wall_offset_ + now_.count(); }
  /// Moves the wall clock alone, forward or back.
  void jump_wall(std::chrono::nanoseconds by) { wall_offset_ += by.count(); }
  void set_wall(WallNanos wall) { wall_offset_ = wall - now_.count(); }
  void set_now(MonoTime now);  ///< for SimEnv; never back

 private:
  MonoTime now_ = std::chrono::seconds(1000);
  WallNanos wall_offset_ = 1'767'225'600'000'000'000 - 1'000'000'000'000;  // starts 2026-01-01 UTC
};

/// What will happen, by virtual time. Timers due at the same instant fire in the order they were
/// started; other events (disk, network) of one instant in random order, timers first.
class SimEvents {
 public:
  enum class Kind : uint8_t { kTimer, kIo };
  using Id = uint64_t;  ///< 0 = none

  SimEvents(SimClock& clock, SimRandom random) : clock_(clock), random_(random) {}
  Id schedule(Kind kind, MonoTime at, std::move_only_function<void()> run);
  void cancel(Id id);
  bool pending(Id id) const { return by_id_.contains(id); }
  bool any_due() const { return !queue_.empty() && std::get<0>(queue_.begin()->first) <= clock_.now(); }
  /// Runs the first due event. @return false when none is due.
  bool run_one_due();
  /// Virtual time of the next event (kTimer or kIo). @return false when there is none.
  bool next_time(MonoTime& at) const;
  /// Nothing of it happens any more; what an event owned goes while the world is still there.
  void drop_all();
  size_t pending_io() const { return pending_io_; }
  SimClock& clock() { return clock_; }
  SimRandom& random() { return random_; }

 private:
  using Key = std::tuple<MonoTime, Kind, uint64_t, Id>;  // time, kind, tie, id
  SimClock& clock_;
  SimRandom random_;
  Id last_id_ = 0;
  size_t pending_io_ = 0;
  std::map<Key, std::move_only_function<void()>> queue_;
  std::map<Id, Key> by_id_;
};

class SimTimers : public Timers {
 public:
  explicit SimTimers(SimEvents& events) : events_(events) {}
  std::unique_ptr<Timer> make(std::move_only_function<void()> fire) override;

 private:
  SimEvents& events_;
};

class SimExecutor : public Executor {
 public:
  void post(std::move_only_function<void()> task) override;
  void at_round_end(RoundPhase phase, std::move_only_function<void()> task) override;

  // -- for SimEnv
  bool idle() const;
  /// Runs the tasks posted so far; those they post wait for the next round.
  void run_posted();
  /// Runs the phases in order, again from the first while anything is enlisted; at most
  /// kMaxPasses lists, the rest waits for the next round.
  void run_round_end();
  void drop_all();
  static constexpr int kMaxPasses = 64;

 private:
  std::deque<std::move_only_function<void()>> posted_;
  std::array<std::vector<std::move_only_function<void()>>, 3> phases_;
};

class SimMailboxes : public Mailboxes {
 public:
  explicit SimMailboxes(SimExecutor& executor) : executor_(executor) {}
  std::shared_ptr<Mailbox> make(size_t max_count) override;

 private:
  SimExecutor& executor_;
};

/// Remembers who watches what; readiness comes only from fire().
class SimPoller : public Poller {
 public:
  std::unique_ptr<PollHandle> watch(int fd, std::move_only_function<void(bool, bool)> ready) override;
  /// Tells the watcher of `fd`, limited to what it wants. @return false when nobody wants it.
  bool fire(int fd, bool readable, bool writable);

 private:
  struct Watch {
    int fd = -1;
    bool readable = false;
    bool writable = false;
    std::move_only_function<void(bool, bool)> ready;
  };
  class Handle;
  std::vector<std::weak_ptr<Watch>> watches_;
};

}  // namespace sluice::sim
