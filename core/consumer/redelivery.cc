#include "consumer/redelivery.h"

#include <algorithm>

namespace sluice {

bool Redelivery::is_live(const Deadline& deadline, const Pending& pending) {
  const PendingMessage* message = pending.find(deadline.seq);
  return message != nullptr && !message->queued && message->due == deadline.due;
}

void Redelivery::push(Deadline deadline) {
  heap_.push_back(deadline);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
}

void Redelivery::pop_deadline() {
  std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
  heap_.pop_back();
}

void Redelivery::arm(const PendingMessage& message, Pending& pending) {
  push({message.due, message.seq});
  if (heap_.size() > 2 * pending.size() + 1024) rebuild(pending);
}

void Redelivery::enqueue(PendingMessage& message, Pending& pending) {
  if (message.queued) return;
  pending.set_queued(message, true);
  ready_.push_back(message.seq);
}

std::vector<StreamSeq> Redelivery::take_due(MonoTime now, const Pending& pending) {
  std::vector<StreamSeq> due;
  while (!heap_.empty() && heap_.front().due <= now) {
    if (is_live(heap_.front(), pending)) due.push_back(heap_.front().seq);
    pop_deadline();
  }
  std::sort(due.begin(), due.end());
  due.erase(std::unique(due.begin(), due.end()), due.end());
  return due;
}

PendingMessage* Redelivery::front(Pending& pending) {
  while (!ready_.empty()) {
    PendingMessage* message = pending.find(ready_.front());
    if (message != nullptr && message->queued) return message;
    ready_.pop_front();
  }
  return nullptr;
}

std::optional<MonoTime> Redelivery::next_due(const Pending& pending) {
  while (!heap_.empty() && !is_live(heap_.front(), pending)) pop_deadline();
  if (heap_.empty()) return std::nullopt;
  return heap_.front().due;
}

void Redelivery::rebuild(Pending& pending) {
  heap_.clear();
  pending.each([this](const PendingMessage& message) {
    if (!message.queued) heap_.push_back({message.due, message.seq});
  });
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>{});
}

void Redelivery::clear() {
  heap_.clear();
  ready_.clear();
}

}  // namespace sluice
