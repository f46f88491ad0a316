#include "stream/dedup_window.h"

#include <xxhash.h>

#include <utility>

#include "base/check.h"

namespace sluice {
namespace {
constexpr size_t kSmallestIndex = 64;
}

DedupWindow::DedupWindow(std::chrono::nanoseconds window, uint64_t hash_key, size_t max_ids, uint64_t first_number)
    : window_(window), hash_key_(hash_key), max_ids_(max_ids), first_number_(first_number) {
  SLUICE_CHECK(max_ids > 0 && max_ids < kNumbers);
}

void DedupWindow::set_window(std::chrono::nanoseconds window, WallNanos now) {
  window_ = window;
  if (enabled()) {
    expire(now);
    return;
  }
  first_number_ += entries_.size();
  entries_.clear();
  slots_.clear();
}

std::optional<StreamSeq> DedupWindow::find(std::string_view id, WallNanos now) {
  if (!enabled()) return std::nullopt;
  expire(now);
  if (entries_.empty()) return std::nullopt;
  const uint32_t value = slots_[slot_of(hash(id))];
  if (value == kFree) return std::nullopt;
  return entry(value).seq();
}

void DedupWindow::insert(std::string_view id, StreamSeq seq, WallNanos time) {
  if (!enabled()) return;
  if (entries_.size() >= max_ids_) {
    drop_oldest();
    ++forgotten_early_;
  }
  if ((entries_.size() + 1) * 4 > slots_.size() * 3) grow();
  const Hash h = hash(id);
  const size_t slot = slot_of(h);
  if (slots_[slot] != kFree) return;
  slots_[slot] = slot_value(first_number_ + entries_.size());
  entries_.emplace_back(h, seq, time);
}

DedupWindow::Hash DedupWindow::hash(std::string_view id) const {
  const XXH128_hash_t h = XXH3_128bits_withSeed(id.data(), id.size(), hash_key_);
  return {h.low64, static_cast<uint32_t>(h.high64)};
}

void DedupWindow::expire(WallNanos now) {
  while (!entries_.empty() && now - entries_.front().time() >= window_.count()) drop_oldest();
}

/// Backward-shift deletion: no tombstones, so a probe stays short however long the window runs.
void DedupWindow::drop_oldest() {
  const size_t mask = slots_.size() - 1;
  size_t hole = slot_of(entries_.front().hash());
  SLUICE_CHECK(slots_[hole] == slot_value(first_number_));
  for (size_t next = (hole + 1) & mask; slots_[next] != kFree; next = (next + 1) & mask) {
    const size_t home = entry(slots_[next]).hash().low & mask;
    // The entry at `next` may move into the hole unless its home lies behind the hole.
    const bool stays = hole <= next ? (hole < home && home <= next) : (hole < home || home <= next);
    if (stays) continue;
    slots_[hole] = slots_[next];
    hole = next;
  }
  slots_[hole] = kFree;
  entries_.pop_front();
  ++first_number_;
}

void DedupWindow::grow() {
  slots_.assign(slots_.empty() ? kSmallestIndex : slots_.size() * 2, kFree);
  for (size_t i = 0; i < entries_.size(); ++i)
    slots_[slot_of(entries_[i].hash())] = slot_value(first_number_ + i);
}

/// Where `hash` stands, or the free slot where it would.
size_t DedupWindow::slot_of(const Hash& hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash.low & mask;
  while (slots_[slot] != kFree && entry(slots_[slot]).hash() != hash) slot = (slot + 1) & mask;
  return slot;
}

}  // namespace sluice
