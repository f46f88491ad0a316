#include "store/message_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {

// -- the cache of cold chunks

void ColdCache::loaded(MessageIndex& index, uint64_t chunk) {
  ++loads_;
  queue_.push_back({&index, chunk});
  for (size_t tries = queue_.size(); queue_.size() > max_chunks_ && tries > 0; --tries) {
    const Entry oldest = queue_.front();
    queue_.pop_front();
    const bool newest = oldest.index == &index && oldest.chunk == chunk;  // the caller is about to look at it
    if (newest || !oldest.index->evict(oldest.chunk)) queue_.push_back(oldest);
  }
}

void ColdCache::forget(const MessageIndex& index) {
  std::erase_if(queue_, [&](const Entry& e) { return e.index == &index; });
}

// -- the index

MessageIndex::~MessageIndex() {
  if (cache_ != nullptr) cache_->forget(*this);
}

MessageIndex& MessageIndex::operator=(MessageIndex&& other) noexcept {
  slots_ = std::exchange(other.slots_, {});
  base_ = std::exchange(other.base_, 0);
  size_ = std::exchange(other.size_, 0);
  in_memory_ = std::exchange(other.in_memory_, 0);
  tail_ = {};
  other.tail_ = {};
  cold_ = other.cold_;
  cache_ = other.cache_;
  return *this;
}

void MessageIndex::use_cold(ColdPlaces& places, ColdCache& cache) {
  cold_ = &places;
  cache_ = &cache;
}

MessageIndex::Slot* MessageIndex::slot_of(uint64_t chunk) {
  if (chunk < base_ || chunk - base_ >= slots_.size()) return nullptr;
  return &slots_[chunk - base_];
}

/// The slot of a chunk, made when it is not there; null when that would be absurd.
MessageIndex::Slot* MessageIndex::reach(uint64_t chunk) {
  if (slots_.empty()) base_ = chunk;
  if (chunk < base_) {
    if (base_ - chunk + slots_.size() > kMaxChunks) return nullptr;
    for (; base_ > chunk; --base_) slots_.emplace_front();
  }
  const uint64_t at = chunk - base_;
  if (at >= slots_.size()) {
    if (at >= kMaxChunks) return nullptr;
    while (slots_.size() <= at) slots_.emplace_back();
  }
  return &slots_[at];
}

void MessageIndex::drop(Slot& slot) {
  if (slot.chunk == nullptr) return;
  if (tail_.slot == &slot) tail_ = {};
  slot.chunk.reset();
  --in_memory_;
}

/// Makes the places of a chunk with messages readable. False: not now.
bool MessageIndex::load(Slot& slot, uint64_t chunk) {
  slot.touched = true;
  if (slot.chunk != nullptr) return true;
  SLUICE_CHECK(cold_ != nullptr && slot.young == 0);
  auto places = std::make_unique<Chunk>();
  if (!cold_->load_places(chunk * kChunk, places->places)) {
    // A removal that can't find its message is a removal lost, so one hiccup of the disk is not the last word.
    places->places.fill({});
    if (!cold_->load_places(chunk * kChunk, places->places)) return false;
  }
  const auto found = static_cast<uint16_t>(
      std::count_if(places->places.begin(), places->places.end(), [](const MessagePlace& p) { return p.present(); }));
  if (found != slot.used) {  // segments that contradict their summaries; what can be found counts
    size_ -= slot.used;
    size_ += found;
    slot.used = found;
  }
  if (found == 0) return false;
  slot.chunk = std::move(places);
  ++in_memory_;
  cache_->loaded(*this, chunk);
  return true;
}

bool MessageIndex::evict(uint64_t chunk) {
  Slot* slot = slot_of(chunk);
  if (slot == nullptr || slot->chunk == nullptr || slot->young != 0) return true;
  if (std::exchange(slot->touched, false)) return false;
  drop(*slot);
  return true;
}

MessagePlace* MessageIndex::find(uint64_t seq) {
  const uint64_t chunk = seq / kChunk;
  Slot* slot = slot_of(chunk);
  if (slot == nullptr || slot->used == 0 || !load(*slot, chunk)) return nullptr;
  MessagePlace& place = slot->chunk->places[seq % kChunk];
  return place.present() ? &place : nullptr;
}

bool MessageIndex::put(uint64_t seq, const MessagePlace& place) {
  SLUICE_CHECK(place.present() && place.cold == 0);
  const uint64_t chunk = seq / kChunk;
  Slot* slot = tail_.slot != nullptr && tail_.chunk == chunk ? tail_.slot : reach(chunk);
  if (slot == nullptr) return false;
  if (slot->chunk == nullptr && !(slot->used != 0 && load(*slot, chunk))) {
    if (slot->used != 0) return false;
    slot->chunk = std::make_unique<Chunk>();
    ++in_memory_;
  }
  tail_ = {.slot = slot, .places = slot->chunk.get(), .chunk = chunk};
  MessagePlace& at = slot->chunk->places[seq % kChunk];
  if (!at.present()) {
    ++slot->used;
    ++size_;
  } else if (at.cold == 0) {
    --slot->young;
  }
  ++slot->young;
  at = place;
  return true;
}

bool MessageIndex::erase(uint64_t seq) {
  MessagePlace* place = find(seq);
  if (place == nullptr) return false;
  Slot& slot = *slot_of(seq / kChunk);
  const bool last_young = place->cold == 0 && --slot.young == 0;
  *place = MessagePlace{};
  --size_;
  if (--slot.used == 0) {
    drop(slot);
    trim();
  } else if (last_young) {
    cache_->loaded(*this, seq / kChunk);  // what is left is cold: from now on it may be dropped
  }
  return true;
}

void MessageIndex::trim() {
  tail_ = {};
  while (!slots_.empty() && slots_.front().used == 0) {
    slots_.pop_front();
    ++base_;
  }
  while (!slots_.empty() && slots_.back().used == 0) slots_.pop_back();
}

void MessageIndex::clear() {
  tail_ = {};
  slots_.clear();
  size_ = 0;
  in_memory_ = 0;
}

MessagePlace* MessageIndex::seek(uint64_t& seq) {
  if (slots_.empty()) return nullptr;
  uint64_t from = std::max(seq, base_ * kChunk);
  for (uint64_t at = from / kChunk - base_; at < slots_.size(); ++at) {
    Slot& slot = slots_[at];
    // What can't be read now is not skipped.
    if (slot.used != 0 && !load(slot, base_ + at) && slot.used != 0) return nullptr;
    if (slot.used != 0) {
      for (uint64_t i = from % kChunk; i < kChunk; ++i) {
        if (!slot.chunk->places[i].present()) continue;
        seq = (base_ + at) * kChunk + i;
        return &slot.chunk->places[i];
      }
    }
    from = (base_ + at + 1) * kChunk;
  }
  return nullptr;
}

uint64_t MessageIndex::find_prev(uint64_t seq) {
  if (slots_.empty() || seq < base_ * kChunk) return 0;
  const uint64_t end = (base_ + slots_.size()) * kChunk;
  if (seq >= end) seq = end - 1;
  for (uint64_t at = seq / kChunk - base_ + 1; at-- > 0;) {
    Slot& slot = slots_[at];
    if (slot.used != 0 && !load(slot, base_ + at) && slot.used != 0) return 0;
    if (slot.used != 0) {
      for (uint64_t i = seq % kChunk + 1; i-- > 0;) {
        if (slot.chunk->places[i].present()) return (base_ + at) * kChunk + i;
      }
    }
    seq = (base_ + at) * kChunk - 1;
  }
  return 0;
}

void MessageIndex::each_young(const std::function<void(const MessagePlace&)>& visit) const {
  for (const Slot& slot : slots_) {
    if (slot.young == 0) continue;
    for (const MessagePlace& place : slot.chunk->places) {
      if (place.present() && place.cold == 0) visit(place);
    }
  }
}

bool MessageIndex::add_cold(uint64_t first, uint64_t last) {
  SLUICE_CHECK(cold_ != nullptr && first <= last);
  for (uint64_t chunk = first / kChunk; chunk <= last / kChunk; ++chunk) {
    Slot* slot = reach(chunk);
    if (slot == nullptr) return false;
    const uint64_t begin = std::max(first, chunk * kChunk);
    const uint64_t end = std::min(last, chunk * kChunk + kChunk - 1);
    SLUICE_CHECK(slot->chunk == nullptr && slot->used + (end - begin + 1) <= kChunk);
    slot->used = static_cast<uint16_t>(slot->used + (end - begin + 1));
    size_ += end - begin + 1;
  }
  return true;
}

void MessageIndex::cool(uint64_t first, uint64_t last, const std::function<bool(const MessagePlace&)>& moves,
                        const std::function<const MessagePlace*(uint64_t)>& place_of) {
  if (slots_.empty()) return;
  const uint64_t front = std::max(first / kChunk, base_);
  const uint64_t back = std::min(last / kChunk, base_ + slots_.size() - 1);
  for (uint64_t chunk = front; chunk <= back; ++chunk) {
    Slot& slot = slots_[chunk - base_];
    if (slot.chunk == nullptr) continue;
    const bool stays = std::any_of(slot.chunk->places.begin(), slot.chunk->places.end(), [&](const MessagePlace& p) {
      return p.present() && p.cold == 0 && !moves(p);
    });
    if (!stays) {
      drop(slot);
      slot.young = 0;
      continue;
    }
    for (uint64_t i = 0; i < kChunk; ++i) {
      MessagePlace& place = slot.chunk->places[i];
      if (!place.present() || !moves(place)) continue;
      const MessagePlace* moved = place_of(chunk * kChunk + i);
      if (moved == nullptr) continue;
      if (place.cold == 0) --slot.young;
      place = *moved;
    }
  }
}

}  // namespace sluice
