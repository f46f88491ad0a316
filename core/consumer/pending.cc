#include "consumer/pending.h"

#include <algorithm>

#include "base/check.h"

namespace sluice {

/// A place in items_, not below front_.
size_t Pending::lower_bound(StreamSeq seq) const {
  if (front_ == items_.size() || seq > items_.back().seq) return items_.size();
  // Without a filter the queue has no jumps, and the place is known (the search was 5 % of a fetch).
  const StreamSeq first = items_[front_].seq;
  if (seq >= first) {
    const uint64_t at = front_ + (seq.value() - first.value());
    if (at < items_.size() && items_[at].seq == seq) return at;
  }
  const auto at = std::lower_bound(items_.begin() + static_cast<ptrdiff_t>(front_), items_.end(), seq,
                                   [](const PendingMessage& m, StreamSeq s) { return m.seq < s; });
  return static_cast<size_t>(at - items_.begin());
}

void Pending::count(const PendingMessage& message, bool add) {
  const auto step = [add](size_t& figure) { add ? ++figure : --figure; };
  step(size_);
  if (message.deliveries > 1) step(redelivered_);
  if (message.queued) step(queued_);
}

PendingMessage& Pending::add(const PendingMessage& message) {
  SLUICE_CHECK(!message.gone);
  const size_t at = lower_bound(message.seq);
  if (at == items_.size()) {
    items_.push_back(message);
  } else if (items_[at].seq == message.seq) {
    SLUICE_CHECK(items_[at].gone);
    items_[at] = message;
  } else {
    items_.insert(items_.begin() + static_cast<ptrdiff_t>(at), message);
  }
  count(message, true);
  return items_[at];
}

PendingMessage* Pending::find(StreamSeq seq) {
  return const_cast<PendingMessage*>(static_cast<const Pending*>(this)->find(seq));
}

const PendingMessage* Pending::find(StreamSeq seq) const {
  const size_t at = lower_bound(seq);
  if (at == items_.size() || items_[at].seq != seq || items_[at].gone) return nullptr;
  return &items_[at];
}

bool Pending::remove(StreamSeq seq) {
  PendingMessage* message = find(seq);
  if (message == nullptr) return false;
  count(*message, false);
  message->gone = true;
  trim();
  return true;
}

void Pending::clear() {
  items_.clear();
  front_ = 0;
  size_ = redelivered_ = queued_ = 0;
}

void Pending::count_delivery(PendingMessage& message) {
  if (++message.deliveries == 2) ++redelivered_;
}

void Pending::set_queued(PendingMessage& message, bool queued) {
  if (message.queued == queued) return;
  message.queued = queued;
  queued ? ++queued_ : --queued_;
}

void Pending::restore(PendingMessage& message, const PendingMessage& before) {
  SLUICE_CHECK(message.seq == before.seq && !message.gone);
  count(message, false);
  message = before;
  count(message, true);
}

void Pending::trim() {
  while (front_ < items_.size() && items_[front_].gone) ++front_;
  while (front_ < items_.size() && items_.back().gone) items_.pop_back();
  // What has left the front goes when it is half of all: each message is moved once at most. Holes inside
  // cost memory and search steps: never more of them than of messages, plus a few.
  const size_t kept = items_.size() - front_;
  if (front_ > kept + 64 || kept > 2 * size_ + 64) give_back();
}

/// Closes up, and returns memory that many more messages once took.
void Pending::give_back() {
  std::erase_if(items_, [](const PendingMessage& m) { return m.gone; });
  front_ = 0;
  if (items_.capacity() > 4 * items_.size() + 64) items_.shrink_to_fit();
}

}  // namespace sluice
