// What waits to be written to one client.
//
// During a round everything is appended to one string; at its end the string goes to the transport
// in one write (a long round writes in between). Two bounds watch it: above the high watermark the
// client is congested (whoever feeds it slows down), above max_pending it is cut. A third is time:
// what was handed to the transport must have left within the write deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/timers.h"
#include "io/transport.h"
#include "server/flush_list.h"

namespace sluice {

struct OutboxOptions {
  size_t max_pending;
  size_t high_watermark;
  size_t low_watermark;
  std::chrono::nanoseconds write_deadline;
};

/// 75 % of max_pending, but 8 MiB at most: what is queued there has to be kept in memory.
OutboxOptions make_outbox_options(size_t max_pending, std::chrono::nanoseconds write_deadline);

/// Loop thread only.
class Outbox {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// Crossed the high watermark upwards, or the low one downwards. Not from the destructor.
    virtual void on_congestion(bool congested) = 0;
    /// Congested and nothing moves any more: waiting for this client makes no sense.
    virtual void on_stuck() = 0;
    /// The write deadline has passed. May close the outbox.
    virtual void on_write_deadline() = 0;
  };

  Outbox(Transport& transport, const OutboxOptions& options, Timers& timers, FlushList& flushes,
         Owner& owner);
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  /// Append to it, then call appended().
  std::string& bytes() {
    if (!enlisted_) enlist();
    return bytes_;
  }
  /// @return false when more than max_pending is waiting although the transport got its chance.
  bool appended() { return bytes_.size() + queued_ <= soft_limit_ || look_closer(); }
  /// Hands everything to the transport.
  void flush();
  /// The transport says that its queue is empty.
  void on_drained();
  /// The end: no more flushes, timers or calls of the owner. What is there is handed over or
  /// dropped.
  void stop(bool write_rest);

  /// An upper bound; exact at each flush.
  size_t pending_bytes() const { return bytes_.size() + queued_; }
  bool congested() const { return congested_; }
  /// Congested, and the transport took nothing for kStuckAfter.
  bool stuck() const { return congested_ && still_for_ >= kStuckAfter; }

 private:
  /// What fits in the processor's cache is written while it is there.
  static constexpr size_t kEarlyFlush_bytes = 128 * 1024;
  static constexpr std::chrono::milliseconds kCongestedLook{10};
  static constexpr std::chrono::milliseconds kBlockedLook{250};
  static constexpr std::chrono::milliseconds kStuckAfter{500};

  void enlist();
  bool look_closer();
  void hand_over();
  void update_queued();
  void start_watch();
  void on_watch();
  void note_movement();

  Transport& transport_;
  const OutboxOptions& options_;
  Timers& timers_;
  FlushList& flushes_;
  Owner& owner_;
  std::string bytes_;
  size_t queued_ = 0;          ///< in the transport when last asked
  size_t soft_limit_;          ///< above it appended() has something to decide
  uint64_t handed_bytes_ = 0;  ///< to the transport, ever
  // While the transport's queue is not empty the watch looks whether it moves: what had been handed
  // over when the mark was set must be gone when mark_left_ has run out.
  std::unique_ptr<Timer> watch_;  ///< made by the first write that blocks
  std::chrono::nanoseconds watch_step_{0};
  uint64_t mark_bytes_ = 0;
  std::chrono::nanoseconds mark_left_{0};
  uint64_t gone_bytes_ = 0;  ///< had left the transport at the last look while congested
  std::chrono::nanoseconds still_for_{0};
  bool enlisted_ = false;
  bool congested_ = false;
  bool stopped_ = false;
};

}  // namespace sluice
