#include "consumer/consumer_state.h"

#include "base/check.h"

namespace sluice {
namespace {

constexpr uint64_t kSnapshotVersion = 1;

void put_position(std::string& out, const ConsumerPosition& p) {
  put_varint(out, p.consumer.value());
  put_varint(out, p.stream.value());
  put_varint(out, zigzag(p.last_active));
}
ConsumerPosition get_position(VarintReader& in) {
  ConsumerPosition p;
  p.consumer = ConsumerSeq(in.next());
  p.stream = StreamSeq(in.next());
  p.last_active = unzigzag(in.next());
  return p;
}

}  // namespace

void ConsumerState::set(const ConsumerPosition& delivered, const ConsumerPosition& floor,
                        const std::vector<PendingMessage>& pending) {
  floor_.set(delivered, floor);
  pending_.clear();
  for (const PendingMessage& message : pending) pending_.add(message);
}

void ConsumerState::reset(StreamSeq first_candidate) {
  *this = ConsumerState(policy_);
  start_at(first_candidate);
}

ConsumerState::Delivery ConsumerState::deliver(StreamSeq seq, WallNanos now, MonoTime due) {
  Delivery d;
  d.seq = seq;
  d.delivered_before = floor_.delivered();
  d.floor_before = floor_.floor();
  d.delta_mark = delta_.size();
  d.run_mark = run_count_;
  d.last_mark = last_seq_;
  d.run_op_mark = static_cast<uint8_t>(run_op_);
  d.run_first_mark = run_first_;
  d.consumer_seq = floor_.deliver(seq, now);
  if (policy_ == AckPolicy::kNone) {
    floor_.follow_delivered();
  } else if (PendingMessage* message = pending_.find(seq)) {
    d.pending_before = *message;
    pending_.set_queued(*message, false);
    pending_.count_delivery(*message);
    message->time = now;
    message->due = due;
    d.deliveries = message->deliveries;
  } else {
    PendingMessage fresh;
    fresh.seq = seq;
    fresh.first_delivery = d.consumer_seq;
    fresh.time = now;
    fresh.due = due;
    pending_.add(fresh);
  }
  note(Op::kDeliver, seq);
  return d;
}

void ConsumerState::undo_delivery(const Delivery& d) {
  floor_.set(d.delivered_before, d.floor_before);
  if (d.pending_before) {
    PendingMessage* message = pending_.find(d.seq);
    SLUICE_CHECK(message != nullptr);
    pending_.restore(*message, *d.pending_before);
  } else {
    pending_.remove(d.seq);
  }
  SLUICE_CHECK(d.delta_mark <= delta_.size());
  delta_.resize(d.delta_mark);
  run_count_ = d.run_mark;
  last_seq_ = d.last_mark;
  run_op_ = static_cast<Op>(d.run_op_mark);
  run_first_ = d.run_first_mark;
}

bool ConsumerState::remove_pending(StreamSeq seq) {
  const PendingMessage* first = pending_.first();
  const bool was_first = first != nullptr && first->seq == seq;
  if (!pending_.remove(seq)) return false;
  if (was_first) floor_.advance(pending_);
  return true;
}

ConsumerState::AckEffect ConsumerState::ack(StreamSeq seq, WallNanos now) {
  AckEffect effect = AckEffect::kAcked;
  if (!remove_pending(seq)) {
    if (!exhausted_.erase(seq.value())) return AckEffect::kUnknown;
    effect = AckEffect::kWasExhausted;
  }
  floor_.touch(now);
  note(Op::kAck, seq);
  return effect;
}

void ConsumerState::set_time(PendingMessage& message, WallNanos time, MonoTime due) {
  pending_.set_queued(message, false);
  message.time = time;
  message.due = due;
  note_time(message.seq, time);
}

void ConsumerState::exhaust(StreamSeq seq) {
  if (!remove_pending(seq)) return;
  exhausted_.insert(seq.value());
  note(Op::kExhaust, seq);
}

bool ConsumerState::drop(StreamSeq seq) {
  const bool known = remove_pending(seq) || exhausted_.erase(seq.value());
  if (known) note(Op::kDrop, seq);
  return known;
}

void ConsumerState::purged_below(StreamSeq first_kept) {
  while (const PendingMessage* first = pending_.first()) {
    if (first->seq >= first_kept) break;
    pending_.remove(first->seq);
  }
  exhausted_.erase_below(first_kept.value());
  floor_.skip_purged(first_kept, pending_);
  note(Op::kPurge, first_kept);
}

// -- the delta: op, sequence as difference, and for deliveries and acks the length of the run

void ConsumerState::put_seq(StreamSeq seq) {
  put_varint(delta_, zigzag(wrapping_minus(static_cast<int64_t>(seq.value()), static_cast<int64_t>(last_seq_))));
  last_seq_ = seq.value();
}

void ConsumerState::close_run() {
  if (run_count_ == 0) return;
  put_varint(delta_, static_cast<uint64_t>(run_op_));
  put_seq(StreamSeq(run_first_));
  put_varint(delta_, run_count_);
  last_seq_ = run_first_ + run_count_ - 1;
  run_count_ = 0;
  run_op_ = Op::kNone;
}

void ConsumerState::note(Op op, StreamSeq seq) {
  if (op == Op::kDeliver || op == Op::kAck) {
    if (op == run_op_ && run_count_ < kMaxRun && seq.value() == run_first_ + run_count_) {
      ++run_count_;
      return;
    }
    close_run();
    run_op_ = op;
    run_first_ = seq.value();
    run_count_ = 1;
    return;
  }
  close_run();
  put_varint(delta_, static_cast<uint64_t>(op));
  put_seq(seq);
}

void ConsumerState::note_time(StreamSeq seq, WallNanos time) {
  note(Op::kTime, seq);
  put_varint(delta_, zigzag(time));
}

std::string ConsumerState::take_delta(WallNanos now) {
  close_run();
  std::string out;
  if (!delta_.empty()) {
    put_varint(out, zigzag(now));
    out += delta_;
  }
  delta_.clear();
  last_seq_ = 0;
  return out;
}

bool ConsumerState::apply_op(Op op, VarintReader& in, WallNanos base, uint64_t& last) {
  const uint64_t first =
      static_cast<uint64_t>(wrapping_plus(static_cast<int64_t>(last), unzigzag(in.next())));
  if (!in.ok()) return false;
  last = first;
  switch (op) {
    case Op::kNone: return false;
    case Op::kDeliver:
    case Op::kAck: {
      const uint64_t count = in.next();
      if (!in.ok() || count == 0 || count > kMaxRun) return false;
      for (uint64_t i = 0; i < count; ++i) {
        if (op == Op::kDeliver) {
          deliver(StreamSeq(first + i), base, MonoTime{0});
        } else {
          ack(StreamSeq(first + i), base);
        }
      }
      last = first + count - 1;
      return true;
    }
    case Op::kAckAll: ack_all(StreamSeq(first), base, [](StreamSeq) {}); return true;
    case Op::kTime: {
      const WallNanos time = unzigzag(in.next());
      if (PendingMessage* message = pending_.find(StreamSeq(first))) set_time(*message, time, MonoTime{0});
      return in.ok();
    }
    case Op::kExhaust: exhaust(StreamSeq(first)); return true;
    case Op::kDrop: drop(StreamSeq(first)); return true;
    case Op::kPurge: purged_below(StreamSeq(first)); return true;
  }
  return false;
}

bool ConsumerState::apply(std::string_view delta) {
  VarintReader in(delta);
  const WallNanos base = unzigzag(in.next());
  uint64_t last = 0;
  bool good = in.ok();
  while (good && in.more()) {
    const uint64_t op = in.next();
    good = op <= static_cast<uint64_t>(Op::kPurge) && apply_op(static_cast<Op>(op), in, base, last);
  }
  take_delta(base);  // replayed changes are on disk already
  return good;
}

void ConsumerState::encode(std::string& out) const {
  put_varint(out, kSnapshotVersion);
  put_position(out, floor_.delivered());
  put_position(out, floor_.floor());
  put_varint(out, pending_.size());
  uint64_t before = 0;
  pending_.each([&](const PendingMessage& m) {
    put_varint(out, m.seq.value() - before);
    put_varint(out, m.first_delivery.value());
    put_varint(out, zigzag(m.time));
    put_varint(out, m.deliveries);
    before = m.seq.value();
  });
  put_varint(out, exhausted_.ranges().size());
  for (const auto& [first, last] : exhausted_.ranges()) {
    put_varint(out, first);
    put_varint(out, last - first);
  }
}

bool ConsumerState::decode(VarintReader& in) {
  if (in.next() != kSnapshotVersion) return false;
  const ConsumerPosition delivered = get_position(in);
  const ConsumerPosition floor = get_position(in);
  floor_.set(delivered, floor);
  pending_.clear();
  exhausted_.clear();
  uint64_t seq = 0;
  for (uint64_t left = in.next(); left > 0; --left) {
    PendingMessage m;
    const uint64_t step = in.next();
    seq += step;
    m.seq = StreamSeq(seq);
    m.first_delivery = ConsumerSeq(in.next());
    m.time = unzigzag(in.next());
    m.deliveries = static_cast<uint32_t>(in.next());
    if (!in.ok() || step == 0) return false;
    pending_.add(m);
  }
  for (uint64_t left = in.next(); left > 0; --left) {
    const uint64_t first = in.next();
    const uint64_t length = in.next();
    if (!in.ok() || first + length < first) return false;
    exhausted_.insert_range(first, first + length);
  }
  return in.ok();
}

}  // namespace sluice
