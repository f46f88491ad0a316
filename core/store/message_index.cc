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
  runs_ = std::exchange(other.runs_, {});
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

MessageIndex::Runs::iterator MessageIndex::run_at_or_below(uint64_t chunk) {
  const auto above = runs_.upper_bound(chunk);
  return above == runs_.begin() ? runs_.end() : std::prev(above);
}

MessageIndex::Slot* MessageIndex::slot_of(uint64_t chunk) {
  const auto run = run_at_or_below(chunk);
  if (run == runs_.end() || chunk - run->first >= run->second.size()) return nullptr;
  return &run->second[chunk - run->first];
}

/// The slot of a chunk, made when it is not there.
MessageIndex::Slot& MessageIndex::reach(uint64_t chunk) {
  const auto move_base = [this](Runs::iterator run, uint64_t base) {
    auto node = runs_.extract(run);
    node.key() = base;
    return runs_.insert(std::move(node)).position;
  };
  if (runs_.size() == 1 && runs_.begin()->second.empty()) {
    return move_base(runs_.begin(), chunk)->second.emplace_back();
  }
  const auto above = runs_.upper_bound(chunk);
  if (above != runs_.begin()) {
    auto& [base, run] = *std::prev(above);
    const uint64_t at = chunk - base;
    if (at < run.size() + kMaxHole_chunks) {
      while (run.size() <= at) run.emplace_back();
      return run[at];
    }
  }
  if (above != runs_.end() && above->first - chunk <= kMaxHole_chunks) {
    for (uint64_t base = above->first; base > chunk; --base) above->second.emplace_front();
    return move_base(above, chunk)->second.front();
  }
  return runs_.try_emplace(chunk).first->second.emplace_back();
}

void MessageIndex::drop(Slot& slot) {
  if (slot.chunk == nullptr) return;
  if (tail_.slot == &slot) tail_ = {};
  slot.chunk.reset();
  slot.partial = false;
  --in_memory_;
}

/// Makes the places of a chunk with messages readable. False: not now.
bool MessageIndex::load(Slot& slot, uint64_t chunk) {
  slot.touched = true;
  if (slot.chunk != nullptr && !slot.partial) return true;
  SLUICE_CHECK(cold_ != nullptr && (slot.young == 0 || slot.partial));
  auto places = std::make_unique<Chunk>();
  if (!cold_->load_places(chunk * kChunk, places->places)) {
    // A removal that can't find its message is a removal lost, so one hiccup of the disk is not the last word.
    places->places.fill({});
    if (!cold_->load_places(chunk * kChunk, places->places)) return false;
  }
  if (slot.partial) {
    for (uint64_t i = 0; i < kChunk; ++i) {
      if (slot.chunk->places[i].present()) places->places[i] = slot.chunk->places[i];
    }
  }
  const auto found = static_cast<uint16_t>(
      std::count_if(places->places.begin(), places->places.end(), [](const MessagePlace& p) { return p.present(); }));
  if (found != slot.used) {  // segments that contradict their summaries; what can be found counts
    size_ -= slot.used;
    size_ += found;
    slot.used = found;
  }
  if (slot.partial) {
    slot.chunk->places = places->places;
    slot.partial = false;
    return true;
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
  if (slot == nullptr || slot->used == 0) return nullptr;
  if (!load(*slot, chunk) && !slot->partial) return nullptr;
  MessagePlace& place = slot->chunk->places[seq % kChunk];
  return place.present() ? &place : nullptr;
}

void MessageIndex::put(uint64_t seq, const MessagePlace& place) {
  SLUICE_CHECK(place.present() && place.cold == 0);
  const uint64_t chunk = seq / kChunk;
  Slot& slot = tail_.slot != nullptr && tail_.chunk == chunk ? *tail_.slot : reach(chunk);
  if (slot.chunk == nullptr && !(slot.used != 0 && load(slot, chunk))) {
    slot.chunk = std::make_unique<Chunk>();
    slot.partial = slot.used != 0;
    ++in_memory_;
  }
  tail_ = {.slot = &slot, .places = slot.chunk.get(), .chunk = chunk};
  MessagePlace& at = slot.chunk->places[seq % kChunk];
  if (!at.present()) {
    ++slot.used;
    ++size_;
  } else if (at.cold == 0) {
    --slot.young;
  }
  ++slot.young;
  at = place;
}

bool MessageIndex::erase(uint64_t seq) {
  MessagePlace* place = find(seq);
  if (place == nullptr) return false;
  const uint64_t chunk = seq / kChunk;
  Slot& slot = *slot_of(chunk);
  const bool last_young = place->cold == 0 && --slot.young == 0;
  *place = MessagePlace{};
  --size_;
  if (--slot.used == 0) {
    drop(slot);
    trim(chunk);
  } else if (last_young && slot.partial) {
    drop(slot);
  } else if (last_young) {
    cache_->loaded(*this, chunk);  // what is left is cold: from now on it may be dropped
  }
  return true;
}

/// The slot of `chunk` has become empty.
void MessageIndex::trim(uint64_t chunk) {
  const auto at = run_at_or_below(chunk);
  SLUICE_CHECK(at != runs_.end());
  Run& run = at->second;
  if (run.front().used != 0 && run.back().used != 0) return;
  tail_ = {};
  uint64_t base = at->first;
  for (; !run.empty() && run.front().used == 0; ++base) run.pop_front();
  while (!run.empty() && run.back().used == 0) run.pop_back();
  if (run.empty()) {
    if (runs_.size() > 1) runs_.erase(at);
  } else if (base != at->first) {
    auto node = runs_.extract(at);
    node.key() = base;
    runs_.insert(std::move(node));
  }
}

void MessageIndex::clear() {
  tail_ = {};
  runs_.clear();
  size_ = 0;
  in_memory_ = 0;
}

MessagePlace* MessageIndex::seek(uint64_t& seq) {
  auto at = run_at_or_below(seq / kChunk);
  for (at = at == runs_.end() ? runs_.begin() : at; at != runs_.end(); ++at) {
    auto& [base, run] = *at;
    uint64_t from = std::max(seq, base * kChunk);
    for (uint64_t i = from / kChunk - base; i < run.size(); ++i) {
      Slot& slot = run[i];
      const uint64_t chunk = base + i;
      if (slot.used != 0) {
        const bool whole = load(slot, chunk);
        if (!whole && slot.used != 0 && !slot.partial) return nullptr;  // what can't be read now is not skipped
        for (uint64_t place = from % kChunk; slot.used != 0 && place < kChunk; ++place) {
          if (slot.chunk->places[place].present()) {
            seq = chunk * kChunk + place;
            return &slot.chunk->places[place];
          }
          if (!whole) return nullptr;
        }
      }
      from = (chunk + 1) * kChunk;
    }
  }
  return nullptr;
}

uint64_t MessageIndex::find_prev(uint64_t seq) {
  for (auto at = runs_.upper_bound(seq / kChunk); at != runs_.begin();) {
    auto& [base, run] = *--at;
    for (uint64_t i = std::min(seq / kChunk - base + 1, run.size()); i-- > 0;) {
      Slot& slot = run[i];
      if (slot.used == 0) continue;
      const uint64_t chunk = base + i;
      const bool whole = load(slot, chunk);
      if (!whole && slot.used != 0 && !slot.partial) return 0;
      const uint64_t top = seq / kChunk == chunk ? seq % kChunk : kChunk - 1;
      for (uint64_t place = top + 1; slot.used != 0 && place-- > 0;) {
        if (slot.chunk->places[place].present()) return chunk * kChunk + place;
        if (!whole) return 0;
      }
    }
  }
  return 0;
}

void MessageIndex::each_young(const std::function<void(const MessagePlace&)>& visit) const {
  for (const auto& [base, run] : runs_) {
    for (const Slot& slot : run) {
      if (slot.young == 0) continue;
      for (const MessagePlace& place : slot.chunk->places) {
        if (place.present() && place.cold == 0) visit(place);
      }
    }
  }
}

void MessageIndex::add_cold(uint64_t first, uint64_t last) {
  SLUICE_CHECK(cold_ != nullptr && first <= last);
  for (uint64_t chunk = first / kChunk; chunk <= last / kChunk; ++chunk) {
    Slot& slot = reach(chunk);
    const uint64_t begin = std::max(first, chunk * kChunk);
    const uint64_t end = std::min(last, chunk * kChunk + kChunk - 1);
    SLUICE_CHECK(slot.chunk == nullptr && slot.used + (end - begin + 1) <= kChunk);
    slot.used = static_cast<uint16_t>(slot.used + (end - begin + 1));
    size_ += end - begin + 1;
  }
}

void MessageIndex::cool(uint64_t first, uint64_t last, const std::function<bool(const MessagePlace&)>& moves,
                        const std::function<const MessagePlace*(uint64_t)>& place_of) {
  auto at = run_at_or_below(first / kChunk);
  for (at = at == runs_.end() ? runs_.begin() : at; at != runs_.end() && at->first <= last / kChunk; ++at) {
    auto& [base, run] = *at;
    const uint64_t end = std::min(last / kChunk + 1, base + run.size());
    for (uint64_t chunk = std::max(first / kChunk, base); chunk < end; ++chunk) {
      cool_slot(run[chunk - base], chunk, moves, place_of);
    }
  }
}

void MessageIndex::cool_slot(Slot& slot, uint64_t chunk, const std::function<bool(const MessagePlace&)>& moves,
                             const std::function<const MessagePlace*(uint64_t)>& place_of) {
  if (slot.chunk == nullptr) return;
  const bool stays = std::any_of(slot.chunk->places.begin(), slot.chunk->places.end(), [&](const MessagePlace& p) {
    return p.present() && p.cold == 0 && !moves(p);
  });
  if (!stays) {
    drop(slot);
    slot.young = 0;
    return;
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

}  // namespace sluice
