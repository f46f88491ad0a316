#include "consumer/ack_floor.h"

#include <algorithm>

#include "base/check.h"

namespace sluice {

void AckFloor::start_at(StreamSeq first_candidate) {
  const StreamSeq before = first_candidate.is_zero() ? first_candidate : first_candidate.prev();
  delivered_ = floor_ = ConsumerPosition{ConsumerSeq{}, before, kZeroTime};
}

void AckFloor::set(const ConsumerPosition& delivered, const ConsumerPosition& floor) {
  delivered_ = delivered;
  floor_ = floor;
  // From disk: a floor above the deliveries would be a lie either way, the lower one is safe.
  floor_.consumer = std::min(floor_.consumer, delivered_.consumer);
  floor_.stream = std::min(floor_.stream, delivered_.stream);
}

ConsumerSeq AckFloor::deliver(StreamSeq seq, WallNanos now) {
  delivered_.consumer = delivered_.consumer.next();
  delivered_.stream = std::max(delivered_.stream, seq);
  delivered_.last_active = now;
  return delivered_.consumer;
}

void AckFloor::follow_delivered() {
  floor_.consumer = delivered_.consumer;
  floor_.stream = delivered_.stream;
}

void AckFloor::advance(const Pending& pending) {
  const PendingMessage* next = pending.first();
  if (next == nullptr) return follow_delivered();
  floor_.consumer = std::max(floor_.consumer, next->first_delivery.prev());
  floor_.stream = std::max(floor_.stream, next->seq.prev());
  SLUICE_CHECK(floor_.consumer <= delivered_.consumer && floor_.stream <= delivered_.stream);
}

void AckFloor::advance_to(StreamSeq acked, const Pending& pending) {
  const PendingMessage* next = pending.first();
  const ConsumerSeq consumer = next == nullptr ? delivered_.consumer : next->first_delivery.prev();
  floor_.consumer = std::max(floor_.consumer, consumer);
  floor_.stream = std::max(floor_.stream, std::min(acked, delivered_.stream));
  SLUICE_CHECK(floor_.consumer <= delivered_.consumer);
}

void AckFloor::skip_purged(StreamSeq first_kept, const Pending& pending) {
  if (first_kept.is_zero()) return;
  const StreamSeq below = first_kept.prev();
  delivered_.stream = std::max(delivered_.stream, below);
  if (pending.empty()) {
    follow_delivered();
  } else {
    floor_.stream = std::max(floor_.stream, std::min(below, pending.first()->seq.prev()));
    floor_.consumer = std::max(floor_.consumer, pending.first()->first_delivery.prev());
  }
}

}  // namespace sluice
