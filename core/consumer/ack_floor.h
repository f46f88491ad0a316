// How far a consumer has come: the last delivery and the acknowledged prefix, in both numberings.
#pragma once

#include "base/ids.h"
#include "base/time_format.h"
#include "consumer/pending.h"

namespace sluice {

struct ConsumerPosition {
  ConsumerSeq consumer;
  StreamSeq stream;
  WallNanos last_active = kZeroTime;
  bool operator==(const ConsumerPosition&) const = default;
};

/// Invariant: floor ≤ delivered in both numberings.
class AckFloor {
 public:
  /// Before the first delivery both stand in front of the start.
  void start_at(StreamSeq first_candidate);
  void set(const ConsumerPosition& delivered, const ConsumerPosition& floor);

  const ConsumerPosition& delivered() const { return delivered_; }
  const ConsumerPosition& floor() const { return floor_; }

  /// One more delivery. A redelivery's stream sequence does not lower the highest one.
  ConsumerSeq deliver(StreamSeq seq, WallNanos now);
  /// Nobody took it: back to `before`.
  void undo_delivery(const ConsumerPosition& before) { delivered_ = before; }
  /// Ack policy none: what is delivered is acknowledged.
  void follow_delivered();
  /// After the lowest pending message left: up to the next pending one, or to the last delivery.
  void advance(const Pending& pending);
  /// Ack policy all: `acked` and everything before it is done; `pending` no longer holds it.
  void advance_to(StreamSeq acked, const Pending& pending);
  void touch(WallNanos now) { floor_.last_active = now; }
  /// The stream now starts at `first_kept`.
  void skip_purged(StreamSeq first_kept, const Pending& pending);

 private:
  ConsumerPosition delivered_;
  ConsumerPosition floor_;
};

}  // namespace sluice
