#include "store/message_index.h"

#include "base/check.h"

namespace sluice {

MessagePlace* MessageIndex::find(uint64_t seq) {
  const uint64_t chunk = seq / kChunk;
  if (chunk < base_ || chunk - base_ >= chunks_.size()) return nullptr;
  Chunk* c = chunks_[chunk - base_].get();
  if (c == nullptr) return nullptr;
  MessagePlace& place = c->places[seq % kChunk];
  return place.present() ? &place : nullptr;
}

bool MessageIndex::put(uint64_t seq, const MessagePlace& place) {
  SLUICE_CHECK(place.present());
  const uint64_t chunk = seq / kChunk;
  if (chunks_.empty()) base_ = chunk;
  if (chunk < base_) {
    if (base_ - chunk + chunks_.size() > kMaxChunks) return false;
    for (; base_ > chunk; --base_) chunks_.emplace_front();
  }
  const uint64_t at = chunk - base_;
  if (at >= chunks_.size()) {
    if (at >= kMaxChunks) return false;
    chunks_.resize(at + 1);
  }
  if (chunks_[at] == nullptr) chunks_[at] = std::make_unique<Chunk>();
  MessagePlace& slot = chunks_[at]->places[seq % kChunk];
  if (!slot.present()) {
    ++chunks_[at]->used;
    ++size_;
  }
  slot = place;
  return true;
}

bool MessageIndex::erase(uint64_t seq) {
  MessagePlace* place = find(seq);
  if (place == nullptr) return false;
  *place = MessagePlace{};
  std::unique_ptr<Chunk>& chunk = chunks_[seq / kChunk - base_];
  --size_;
  if (--chunk->used == 0) {
    chunk.reset();
    trim();
  }
  return true;
}

void MessageIndex::trim() {
  while (!chunks_.empty() && chunks_.front() == nullptr) {
    chunks_.pop_front();
    ++base_;
  }
  while (!chunks_.empty() && chunks_.back() == nullptr) chunks_.pop_back();
}

void MessageIndex::clear() {
  chunks_.clear();
  size_ = 0;
}

uint64_t MessageIndex::next(uint64_t seq) const {
  if (chunks_.empty()) return 0;
  if (seq < base_ * kChunk) seq = base_ * kChunk;
  for (uint64_t at = seq / kChunk - base_; at < chunks_.size(); ++at) {
    const Chunk* c = chunks_[at].get();
    if (c != nullptr) {
      for (uint64_t i = seq % kChunk; i < kChunk; ++i) {
        if (c->places[i].present()) return (base_ + at) * kChunk + i;
      }
    }
    seq = (base_ + at + 1) * kChunk;
  }
  return 0;
}

uint64_t MessageIndex::prev(uint64_t seq) const {
  if (chunks_.empty() || seq < base_ * kChunk) return 0;
  const uint64_t end = (base_ + chunks_.size()) * kChunk;
  if (seq >= end) seq = end - 1;
  for (uint64_t at = seq / kChunk - base_ + 1; at-- > 0;) {
    const Chunk* c = chunks_[at].get();
    if (c != nullptr) {
      for (uint64_t i = seq % kChunk + 1; i-- > 0;) {
        if (c->places[i].present()) return (base_ + at) * kChunk + i;
      }
    }
    seq = (base_ + at) * kChunk - 1;
  }
  return 0;
}

}  // namespace sluice
