// A machine of its own in a simulated world: process, disk and wall clock apart from all others, so that
// its power can be cut while they go on. Time and network are those of the world.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "io/env.h"
#include "sim/sim_disk.h"
#include "sim/sim_loop.h"
#include "sim/sim_random.h"

namespace sluice::sim {

/// Made by SimEnv::add_machine(), which runs its tasks; lives as long as that.
class SimMachine {
 public:
  SimMachine(std::string host, SimEvents& events, SimTimers& timers, Network& network, SimRandom random)
      : host_(std::move(host)),
        clock_(events.clock()),
        random_(random.fork()),
        mailboxes_(executor_),
        disk_(random.fork()),
        disk_workers_(events, disk_, random.fork()),
        env_{clock_, timers, executor_, random_, disk_, disk_workers_, network, mailboxes_, poller_} {}
  SimMachine(const SimMachine&) = delete;
  SimMachine& operator=(const SimMachine&) = delete;

  const std::string& host() const { return host_; }
  Env& env() { return env_; }
  /// Its process stops here: the disk crashes, its pending tasks vanish. Then as after SimEnv::crash().
  void crash(Crash kind) {
    disk_.crash(kind);
    executor_.drop_all();
  }
  void drop_tasks() { executor_.drop_all(); }
  SimDisk& disk() { return disk_; }
  SimDiskWorkers& disk_workers() { return disk_workers_; }
  /// Its wall clock alone jumps, forward or back.
  void jump_wall(std::chrono::nanoseconds by) { clock_.offset += by.count(); }

 private:
  friend class SimEnv;
  struct WallClock : Clock {
    explicit WallClock(const SimClock& shared) : world(shared) {}
    MonoTime now() const override { return world.now(); }
    WallNanos wall() const override { return world.wall() + offset; }
    const SimClock& world;
    WallNanos offset = 0;
  };

  std::string host_;
  WallClock clock_;
  SimRandom random_;
  SimExecutor executor_;
  SimMailboxes mailboxes_;
  SimPoller poller_;
  SimDisk disk_;
  SimDiskWorkers disk_workers_;
  Env env_;
};

}  // namespace sluice::sim
