// What must survive a restart: deliveries, pending messages, the ack floor, and those given up.
//
// Every change is a method here, and each is noted in the round's delta, so that replaying deltas over
// a snapshot gives the same state. Nothing in here looks at a clock or at the store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/seq_set.h"
#include "consumer/ack_floor.h"
#include "consumer/consumer_config.h"
#include "consumer/pending.h"
#include "base/varint.h"

namespace sluice {

class ConsumerState {
 public:
  explicit ConsumerState(AckPolicy policy) : policy_(policy) {}

  /// What undo_delivery() needs.
  struct Delivery {
    ConsumerSeq consumer_seq;
    StreamSeq seq;
    uint32_t deliveries = 1;
    ConsumerPosition delivered_before;
    ConsumerPosition floor_before;
    std::optional<PendingMessage> pending_before;
    size_t delta_mark = 0;
    uint64_t run_mark = 0;
    uint64_t last_mark = 0;
    uint8_t run_op_mark = 0;
    uint64_t run_first_mark = 0;
  };

  void start_at(StreamSeq first_candidate) { floor_.start_at(first_candidate); }
  /// As a backup says. `pending` rises in stream sequence.
  void set(const ConsumerPosition& delivered, const ConsumerPosition& floor,
           const std::vector<PendingMessage>& pending);
  /// Forgets everything: as a new one in front of `first_candidate`. Not part of a delta: the owner stores
  /// the whole state next.
  void reset(StreamSeq first_candidate);

  /// The first delivery of `seq`, or one more of a pending one.
  Delivery deliver(StreamSeq seq, WallNanos now, MonoTime due);
  /// Nobody was there to take it. Only for the newest change.
  void undo_delivery(const Delivery& delivery);

  enum class AckEffect : uint8_t { kUnknown, kAcked, kWasExhausted };
  /// Explicit: one message. Also for terminated ones.
  AckEffect ack(StreamSeq seq, WallNanos now);
  /// Everything up to `seq`; calls `each(seq)` for every message that was pending, after the state
  /// has been brought up to date.
  template <class Each>
  bool ack_all(StreamSeq seq, WallNanos now, Each&& each);
  /// +WPI and -NAK with delay: when it was last heard of.
  void set_time(PendingMessage& message, WallNanos time, MonoTime due);
  /// Delivered max_deliver times and not acked: no longer pending, never redelivered.
  void exhaust(StreamSeq seq);
  /// The message left the stream. @return false when it was not known here.
  bool drop(StreamSeq seq);
  void purged_below(StreamSeq first_kept);

  const ConsumerPosition& delivered() const { return floor_.delivered(); }
  const ConsumerPosition& ack_floor() const { return floor_.floor(); }
  Pending& pending() { return pending_; }
  const Pending& pending() const { return pending_; }
  const SeqSet& exhausted() const { return exhausted_; }
  /// As reported: pending ones with more than one delivery, and those given up.
  uint64_t num_redelivered() const { return pending_.redelivered() + exhausted_.size(); }

  bool has_delta() const { return !delta_.empty() || run_count_ != 0; }
  /// The changes since the last call; empty when there are none. `now` stamps them.
  std::string take_delta(WallNanos now);
  void encode(std::string& out) const;
  bool decode(VarintReader& in);
  /// Replays a delta. Due times are zero: the owner sets them. False when malformed (nothing or a
  /// part of it was applied).
  bool apply(std::string_view delta);

 private:
  enum class Op : uint8_t { kNone, kDeliver, kAck, kAckAll, kTime, kExhaust, kDrop, kPurge };
  static constexpr uint64_t kMaxRun = 65536;

  void note(Op op, StreamSeq seq);
  void note_time(StreamSeq seq, WallNanos time);
  void close_run();
  void put_seq(StreamSeq seq);
  bool apply_op(Op op, VarintReader& in, WallNanos base, uint64_t& last);
  bool remove_pending(StreamSeq seq);

  AckPolicy policy_;
  AckFloor floor_;
  Pending pending_;
  SeqSet exhausted_;

  std::string delta_;
  uint64_t last_seq_ = 0;  ///< sequences in a delta are written as differences
  Op run_op_ = Op::kNone;
  uint64_t run_first_ = 0;
  uint64_t run_count_ = 0;
};

template <class Each>
bool ConsumerState::ack_all(StreamSeq seq, WallNanos now, Each&& each) {
  if (seq <= floor_.floor().stream || seq > floor_.delivered().stream) return false;
  std::vector<StreamSeq> acked;
  while (const PendingMessage* first = pending_.first()) {
    if (first->seq > seq) break;
    acked.push_back(first->seq);
    pending_.remove(first->seq);
  }
  floor_.advance_to(seq, pending_);
  floor_.touch(now);
  note(Op::kAckAll, seq);
  for (const StreamSeq one : acked) each(one);
  return true;
}

}  // namespace sluice
