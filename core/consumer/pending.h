// The messages handed out and not yet acknowledged, by stream sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/time_format.h"
#include "io/clock.h"

namespace sluice {

struct PendingMessage {
  StreamSeq seq;
  ConsumerSeq first_delivery;  ///< consumer sequence of its first delivery: orders the ack floor
  WallNanos time = 0;          ///< last delivery or progress; survives a restart
  MonoTime due{0};             ///< when it will be redelivered unless acked
  uint32_t deliveries = 1;
  bool queued = false;         ///< waits for redelivery now
  bool gone = false;           ///< a hole, inside Pending only
};

/// First deliveries come in rising stream sequence, so this is a sorted queue with holes: no
/// allocation a message, look-up by position, or by binary search where sequences jump. A vector whose
/// front goes in steps: a deque divides to find a place and allocates every twelve messages.
/// Invariant: front and back are never holes.
class Pending {
 public:
  /// Normally above all others (a queue's push); any free place is taken (recovery).
  PendingMessage& add(const PendingMessage& message);
  /// nullptr when it is not pending. Valid until the next add or remove.
  PendingMessage* find(StreamSeq seq);
  const PendingMessage* find(StreamSeq seq) const;
  bool remove(StreamSeq seq);
  void clear();

  /// The lowest; nullptr when empty.
  const PendingMessage* first() const { return front_ == items_.size() ? nullptr : &items_[front_]; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// How many were delivered more than once.
  size_t redelivered() const { return redelivered_; }
  /// How many wait for redelivery.
  size_t queued() const { return queued_; }

  void count_delivery(PendingMessage& message);
  void set_queued(PendingMessage& message, bool queued);
  /// Puts back what find() gave before a delivery that did not happen.
  void restore(PendingMessage& message, const PendingMessage& before);

  template <class Visit>
  void each(Visit&& visit) {
    for (size_t at = front_; at < items_.size(); ++at) {
      if (!items_[at].gone) visit(items_[at]);
    }
  }
  template <class Visit>
  void each(Visit&& visit) const {
    for (size_t at = front_; at < items_.size(); ++at) {
      if (!items_[at].gone) visit(items_[at]);
    }
  }

 private:
  size_t lower_bound(StreamSeq seq) const;
  void count(const PendingMessage& message, bool add);
  void trim();
  void give_back();

  std::vector<PendingMessage> items_;
  size_t front_ = 0;  ///< of items_; what stands before it has left
  size_t size_ = 0;
  size_t redelivered_ = 0;
  size_t queued_ = 0;
};

}  // namespace sluice
