#include "server/flush_list.h"

#include <algorithm>
#include <utility>

#include "server/outbox.h"

namespace sluice {

FlushList::FlushList(Executor& executor)
    : executor_(executor), self_(std::make_shared<FlushList*>(this)) {}

FlushList::~FlushList() { *self_ = nullptr; }

void FlushList::add(Outbox& outbox) {
  waiting_.push_back(&outbox);
  if (waiting_.size() > 1) return;
  executor_.at_round_end(RoundPhase::kFlush, [self = self_] {
    if (*self != nullptr) (*self)->flush_all();
  });
}

void FlushList::forget(Outbox& outbox) {
  std::ranges::replace(waiting_, &outbox, nullptr);
  std::ranges::replace(flushing_, &outbox, nullptr);
}

std::string FlushList::take_buffer() {
  if (spare_.empty()) return {};
  std::string buffer = std::move(spare_.back());
  spare_.pop_back();
  return buffer;
}

void FlushList::give_back(std::string& buffer) {
  constexpr size_t kWithinTheObject = std::string().capacity();
  const size_t capacity = buffer.capacity();
  if (capacity > kWithinTheObject && capacity <= kMaxSpareCapacity_bytes &&
      spare_.size() < kMaxSpareBuffers) {
    buffer.clear();
    spare_.push_back(std::move(buffer));
  }
  buffer = std::string();
}

void FlushList::flush_all() {
  std::swap(waiting_, flushing_);
  for (size_t i = 0; i < flushing_.size(); ++i) {
    if (flushing_[i] != nullptr) flushing_[i]->flush();
  }
  flushing_.clear();
}

}  // namespace sluice
