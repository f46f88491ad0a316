#include "server/outbox.h"

#include <algorithm>

namespace sluice {

OutboxOptions make_outbox_options(size_t max_pending, std::chrono::nanoseconds write_deadline) {
  constexpr size_t kMostHigh_bytes = 8 * 1024 * 1024;
  const size_t high = std::min(max_pending / 4 * 3, kMostHigh_bytes);
  return {.max_pending = max_pending,
          .high_watermark = high,
          .low_watermark = high / 2,
          .write_deadline = write_deadline};
}

Outbox::Outbox(Transport& transport, const OutboxOptions& options, Timers& timers,
               FlushList& flushes, Owner& owner)
    : transport_(transport),
      options_(options),
      timers_(timers),
      flushes_(flushes),
      owner_(owner),
      soft_limit_(std::min(options.high_watermark, kEarlyFlush_bytes)) {}

Outbox::~Outbox() {
  if (enlisted_) flushes_.forget(*this);
}

void Outbox::enlist() {
  if (stopped_) return;
  enlisted_ = true;
  bytes_ = flushes_.take_buffer();
  flushes_.add(*this);
}

bool Outbox::look_closer() {
  if (stopped_) return true;
  // A burst within one round: let the kernel have what it takes before anything is decided. While
  // it takes nothing there is no point in many small writes.
  const bool worth_a_write = queued_ == 0 && bytes_.size() >= kEarlyFlush_bytes;
  if (worth_a_write || pending_bytes() > options_.max_pending) hand_over();
  if (!congested_ && pending_bytes() > options_.high_watermark) {
    congested_ = true;
    gone_bytes_ = handed_bytes_ - queued_;
    still_for_ = {};
    if (queued_ > 0) start_watch();  // at its quicker pace
    owner_.on_congestion(true);
  }
  return pending_bytes() <= options_.max_pending;
}

void Outbox::flush() {
  enlisted_ = false;
  if (stopped_) return;
  hand_over();
  flushes_.give_back(bytes_);
}

void Outbox::on_drained() {
  if (!stopped_) update_queued();
}

void Outbox::stop(bool write_rest) {
  if (stopped_) return;
  stopped_ = true;
  congested_ = false;
  if (watch_ != nullptr) watch_->stop();
  if (enlisted_) flushes_.forget(*this);
  enlisted_ = false;
  if (write_rest) transport_.write(bytes_);
  flushes_.give_back(bytes_);
  queued_ = 0;
}

void Outbox::hand_over() {
  handed_bytes_ += bytes_.size();
  transport_.write(bytes_);
  update_queued();
}

void Outbox::update_queued() {
  queued_ = transport_.queued_bytes();
  if (queued_ > 0 && (watch_ == nullptr || !watch_->active())) {
    mark_bytes_ = handed_bytes_;
    mark_left_ = options_.write_deadline;
    start_watch();
  }
  if (congested_ && pending_bytes() <= options_.low_watermark) {
    congested_ = false;
    owner_.on_congestion(false);
  }
}

void Outbox::start_watch() {
  if (watch_ == nullptr) watch_ = timers_.make([this] { on_watch(); });
  // The low watermark may be passed without any event of the transport.
  watch_step_ =
      std::min<std::chrono::nanoseconds>(mark_left_, congested_ ? kCongestedLook : kBlockedLook);
  watch_->start(watch_step_);
}

void Outbox::on_watch() {
  mark_left_ -= watch_step_;
  queued_ = transport_.queued_bytes();
  if (queued_ > 0) {
    if (handed_bytes_ - queued_ >= mark_bytes_) {
      mark_bytes_ = handed_bytes_;
      mark_left_ = options_.write_deadline;
    } else if (mark_left_ <= std::chrono::nanoseconds::zero()) {
      owner_.on_write_deadline();  // may destroy us
      return;
    }
    start_watch();
  }
  if (congested_) note_movement();
  update_queued();
}

void Outbox::note_movement() {
  const uint64_t gone = handed_bytes_ - queued_;
  const bool was_stuck = stuck();
  still_for_ = gone == gone_bytes_ ? still_for_ + watch_step_ : std::chrono::nanoseconds::zero();
  gone_bytes_ = gone;
  if (stuck() && !was_stuck) owner_.on_stuck();
}

}  // namespace sluice
