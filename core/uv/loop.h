// The one loop of the process: libuv's, with the round that the engine's executor promises.
//
// A round is: poll callbacks → timers → posted tasks → deliver, commit, flush → poll again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/metrics.h"
#include "io/clock.h"
#include "io/executor.h"

struct uv_loop_s;

namespace sluice {

/// How long rounds kept the loop busy, that is how late a callback may have come; to a millisecond.
struct LoopLag {
  std::chrono::nanoseconds last{0};
  std::chrono::nanoseconds max{0};  ///< since the start
  uint64_t rounds = 0;
  uint64_t slow_rounds = 0;          ///< busy for more than kLoopLagAlarm
  uint64_t round_end_cut_short = 0;  ///< rounds whose end did not come to rest within its bound
};

inline constexpr std::chrono::milliseconds kLoopLagAlarm{50};

/// Owns the uv_loop_t. Everything is called on the thread that calls run(). Ignores SIGPIPE for the
/// process. The destructor drops posted tasks, waits for closing handles and stops the process if
/// somebody still has an open handle: owners must be gone before.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Returns after stop(), or when nothing is left that could call back.
  void run();
  /// Ends run() after the current round.
  void stop();
  /// Runs rounds until `done` holds. @return false when `limit` passed before or nothing is left.
  bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit);

  Clock& clock();
  Executor& executor();
  const LoopLag& lag() const;
  void collect(MetricSink& sink) const;
  /// For the other files of this room.
  uv_loop_s* raw();

 private:
  class Rounds;
  std::unique_ptr<Rounds> rounds_;
};

}  // namespace sluice
