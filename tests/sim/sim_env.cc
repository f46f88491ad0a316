#include "sim/sim_env.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::sim {

namespace {
// A loop that never comes to rest at one instant is a bug of the engine: found, not waited out.
constexpr uint64_t kMaxRoundsAtOneInstant = 10'000'000;
constexpr uint64_t kMaxEventsInRound = 8;
}  // namespace

SimEnv::SimEnv(uint64_t seed)
    : seed_(seed),
      root_(seed),
      engine_random_(root_.fork()),
      test_random_(root_.fork()),
      round_random_(root_.fork()),
      events_(clock_, root_.fork()),
      timers_(events_),
      mailboxes_(executor_),
      disk_(root_.fork()),
      disk_workers_(events_, disk_, root_.fork()),
      net_(events_, root_.fork()),
      env_{clock_, timers_,      executor_, engine_random_, disk_, disk_workers_, net_.host("local"),
           mailboxes_, poller_} {}

Env SimEnv::env_at(const std::string& host) {
  return Env{clock_, timers_,        executor_,       engine_random_, disk_,
             disk_workers_, net_.host(host), mailboxes_,     poller_};
}

SimMachine& SimEnv::add_machine(const std::string& host) {
  machines_.push_back(std::make_unique<SimMachine>(host, events_, timers_, net_.host(host), root_.fork()));
  return *machines_.back();
}

bool SimEnv::run_round() {
  const auto rests = [](const auto& machine) { return machine->executor_.idle(); };
  if (!events_.any_due() && executor_.idle() && std::all_of(machines_.begin(), machines_.end(), rests)) return false;
  // How much falls into one round is the kernel's and the scheduler's whim.
  for (uint64_t left = round_random_.between(1, kMaxEventsInRound); left > 0; --left) {
    if (!events_.run_one_due()) break;
  }
  executor_.run_posted();
  executor_.run_round_end();
  for (const auto& machine : machines_) {
    machine->executor_.run_posted();
    machine->executor_.run_round_end();
  }
  return true;
}

void SimEnv::run_until_idle() {
  for (uint64_t rounds = 0; run_round(); ++rounds) SLUICE_CHECK(rounds < kMaxRoundsAtOneInstant);
}

void SimEnv::advance(std::chrono::nanoseconds by) {
  const MonoTime until = clock_.now() + by;
  run_until_idle();
  for (MonoTime next{}; events_.next_time(next) && next <= until;) {
    clock_.set_now(std::max(next, clock_.now()));
    run_until_idle();
  }
  clock_.set_now(until);
}

bool SimEnv::run_until(const std::function<bool()>& done, std::chrono::nanoseconds max_time) {
  const MonoTime until = clock_.now() + max_time;
  while (!done()) {
    if (run_round()) continue;
    MonoTime next{};
    if (!events_.next_time(next) || next > until) {
      clock_.set_now(until);
      return done();
    }
    clock_.set_now(std::max(next, clock_.now()));
  }
  return true;
}

bool SimEnv::settle(std::chrono::nanoseconds max_time) {
  const MonoTime until = clock_.now() + max_time;
  run_until_idle();
  for (MonoTime next{}; events_.pending_io() > 0 && events_.next_time(next);) {
    if (next > until) return false;
    clock_.set_now(std::max(next, clock_.now()));
    run_until_idle();
  }
  return true;
}

void SimEnv::crash(Crash kind) {
  disk_.crash(kind);
  executor_.drop_all();
}

}  // namespace sluice::sim
