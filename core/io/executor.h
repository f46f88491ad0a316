// The round of the loop: callbacks decide, the round's end lets things leave the process.
#pragma once

#include <cstdint>
#include <functional>

namespace sluice {

/// Order within the end of a round. Work enlisted for an earlier phase while a later one runs is
/// still done in the same round (bounded; the rest waits for the next round).
enum class RoundPhase : uint8_t {
  kDeliver,  ///< consumers hand out messages
  kCommit,   ///< the store hands its batch to the disk worker
  kFlush,    ///< connections write
};

class Executor {
 public:
  virtual ~Executor() = default;
  /// Runs `task` in a later callback of this or the next round. Loop thread only.
  virtual void post(std::move_only_function<void()> task) = 0;
  /// Runs `task` once at the end of this round. Whoever enlists keeps a flag so as to enlist once,
  /// and must outlive the round or guard itself. Loop thread only.
  virtual void at_round_end(RoundPhase phase, std::move_only_function<void()> task) = 0;
};

}  // namespace sluice
