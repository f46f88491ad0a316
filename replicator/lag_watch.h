// How far behind a copy is, asked of the source by a connection of its own, and whether it has stalled.
//
// Every 2 s the source's end is asked for; while it lies beyond what was passed, the next message there is looked
// at for its age. Healthy is who copied something or was seen to have nothing to copy: who was neither for
// 8 s has stalled, whatever its connections say.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/options.h"

namespace sluice {

struct LagFigures {
  std::optional<uint64_t> messages;  ///< source sequences not passed yet; none = unknown
  std::optional<double> seconds;     ///< age of the oldest message not copied yet; none = unknown
  StreamSeq source_end;              ///< as last seen
  bool stalled = false;
  std::string why_stalled;
};

/// Loop thread only.
class LagWatch {
 public:
  struct Events {
    std::function<StreamSeq()> passed;      ///< up to where the copy has come
    std::function<WallNanos()> life;        ///< when the source stream was made that is copied; 0 = not known
    std::function<WallNanos()> oldest_time; ///< of a message read and not settled; 0 = none
    /// The source has nothing for this copy between what was passed and this sequence (both in).
    std::function<void(StreamSeq through)> on_nothing_before;
    std::function<void(bool stalled)> on_change;
  };
  LagWatch(Env& env, StreamClient& control, const StreamCopyOptions& options, Events events);

  void start();
  /// Neither copies nor should it: no alarm.
  void rest();
  void progressed();
  const LagFigures& figures() const { return figures_; }

 private:
  void tick();
  void on_info(const Result<StreamFigures>& info);
  void look_at_next();
  void on_next(Result<std::string> reply, size_t filter, StreamSeq passed);
  void set_lag(uint64_t messages, double seconds);
  void judge();

  Env& env_;
  StreamClient& control_;
  const StreamCopyOptions& options_;
  Events events_;
  LagFigures figures_;
  MonoTime healthy_at_{};
  bool resting_ = true;
  bool asking_ = false;  ///< an answer is awaited: on a long link longer than until the next tick
  std::optional<WallNanos> next_time_;  ///< of the nearest message found so far
  std::unique_ptr<Timer> timer_;
  Ticket call_;
};

}  // namespace sluice
