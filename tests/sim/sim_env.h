// A world from one seed: the engine runs on it unchanged, faster than time, and the same way again.
//
//   SimEnv sim(seed);
//   auto store = Store::open(sim.env(), options);   // Env is by value: keep it as long as its users
//   … sim.run_until_idle(); sim.advance(5s); sim.crash(Crash::kPower); …
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/env.h"
#include "sim/sim_disk.h"
#include "sim/sim_loop.h"
#include "sim/sim_machine.h"
#include "sim/sim_network.h"
#include "sim/sim_random.h"

namespace sluice::sim {

/// Not thread safe: one thread, which plays loop, disk workers and peers. With the default latencies
/// of zero, run_until_idle() completes all disk jobs and network traffic; with others use settle().
class SimEnv {
 public:
  explicit SimEnv(uint64_t seed);
  ~SimEnv() { events_.drop_all(); }
  SimEnv(const SimEnv&) = delete;
  SimEnv& operator=(const SimEnv&) = delete;

  uint64_t seed() const { return seed_; }
  /// One and the same object; lives as long as the SimEnv.
  Env& env() { return env_; }
  operator Env&() { return env_; }  // NOLINT(google-explicit-constructor): reads as the world it is
  /// The same world with the network seen from another host.
  Env env_at(const std::string& host);
  /// One more machine, on the network under this name.
  SimMachine& add_machine(const std::string& host);

  /// Runs everything that is due at the present instant: tasks, round ends, timers, disk, network.
  /// Time stands still.
  void run_until_idle();
  /// Moves time forward, stopping at each timer and event on the way, in order.
  void advance(std::chrono::nanoseconds by);
  void run_for(std::chrono::nanoseconds duration) { advance(duration); }
  /// Runs until `done()` or until `max_time` of virtual time has passed. @return done().
  bool run_until(const std::function<bool()>& done, std::chrono::nanoseconds max_time);
  /// Runs until no disk job and no network event is under way (timers on the way fire, later ones
  /// are left). @return false when that took longer than `max_time`.
  bool settle(std::chrono::nanoseconds max_time = std::chrono::seconds(60));
  /// One round: some due events, the posted tasks, the round's end. @return false when idle.
  bool run_round();

  /// The process stops here: the disk crashes, pending tasks of the loop vanish. Then destroy the
  /// engine, call drop_tasks() if its destructor may have posted, and open it again.
  void crash(Crash kind);
  void power_cut() { crash(Crash::kPower); }
  void process_kill() { crash(Crash::kKill); }
  void drop_tasks() { executor_.drop_all(); }

  SimClock& clock() { return clock_; }
  SimDisk& disk() { return disk_; }
  SimDiskWorkers& disk_workers() { return disk_workers_; }
  SimNetwork& net() { return net_; }
  /// The network as the default host ("local") sees it.
  Network& network() { return net_.host("local"); }
  SimPoller& poller() { return poller_; }
  SimEvents& events() { return events_; }
  /// For the test's own draws; not the one the engine draws from.
  SimRandom& random() { return test_random_; }

 private:
  uint64_t seed_;
  SimRandom root_;
  SimRandom engine_random_;
  SimRandom test_random_;
  SimRandom round_random_;
  SimClock clock_;
  SimEvents events_;
  SimTimers timers_;
  SimExecutor executor_;
  SimMailboxes mailboxes_;
  SimPoller poller_;
  SimDisk disk_;
  SimDiskWorkers disk_workers_;
  SimNetwork net_;
  std::vector<std::unique_ptr<SimMachine>> machines_;
  Env env_;
};

}  // namespace sluice::sim
