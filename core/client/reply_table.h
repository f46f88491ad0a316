// Calls that wait for a reply: a slab of entries, found by token, with one timer for all deadlines.
//
// Costs no hash and no timer a call, so that it can stand in the path of every pipelined publish.
// Deadlines are kept in buckets of a ring; an entry expires up to one tick late. Loop thread only.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "io/clock.h"
#include "io/timers.h"

namespace sluice {

template <class Entry>
class ReplyTable {
 public:
  /// `expired` gets each entry whose time is over, in the order of add(); it may destroy the table.
  ReplyTable(Clock& clock, Timers& timers, size_t max_count,
             std::move_only_function<void(Entry)> expired)
      : clock_(clock),
        timer_(timers.make([this] { on_timer(); })),
        max_count_(max_count),
        expired_(std::move(expired)) {
    buckets_.fill(kNone);
  }
  ReplyTable(const ReplyTable&) = delete;
  ReplyTable& operator=(const ReplyTable&) = delete;

  /// @return the token to find the entry by; nullopt (nothing taken) when max_count are waiting.
  std::optional<uint64_t> add(Entry&& entry, std::chrono::nanoseconds timeout) {
    if (size_ >= max_count_) return std::nullopt;
    if (size_ == 0) open_tick_ = tick_of(clock_.now());
    const uint32_t index = free_slot();
    Slot& slot = slots_[index];
    slot.entry.emplace(std::move(entry));
    slot.serial = next_serial_++;
    slot.deadline = clock_.now() + std::max(timeout, std::chrono::nanoseconds(0));
    link(index);
    ++size_;
    arm(tick_of(slot.deadline) + 1);
    return (uint64_t{slot.generation} << 32) | index;
  }

  /// nullopt for a token that was taken, has expired or never was.
  std::optional<Entry> take(uint64_t token) {
    const auto index = static_cast<uint32_t>(token);
    if (index >= slots_.size()) return std::nullopt;
    Slot& slot = slots_[index];
    if (!slot.entry || slot.generation != token >> 32) return std::nullopt;
    std::optional<Entry> taken(std::move(slot.entry));
    slot.entry.reset();
    unlink(index);
    ++slot.generation;
    slot.next = free_;
    free_ = index;
    --size_;
    return taken;
  }

  /// Everything that waits, in the order of add(). The entries stay until taken.
  std::vector<uint64_t> tokens() const {
    std::vector<std::pair<uint64_t, uint64_t>> found;
    found.reserve(size_);
    for (uint32_t i = 0; i < slots_.size(); ++i)
      if (slots_[i].entry)
        found.emplace_back(slots_[i].serial, (uint64_t{slots_[i].generation} << 32) | i);
    return in_order(std::move(found));
  }

  size_t size() const { return size_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kBuckets = 256;
  static constexpr std::chrono::nanoseconds kTick = std::chrono::milliseconds(25);

  struct Slot {
    std::optional<Entry> entry;
    uint64_t serial = 0;
    MonoTime deadline{};
    uint32_t generation = 0;
    uint32_t prev = kNone;
    uint32_t next = kNone;
  };

  static uint64_t tick_of(MonoTime time) { return static_cast<uint64_t>(time / kTick); }
  static std::vector<uint64_t> in_order(std::vector<std::pair<uint64_t, uint64_t>> found) {
    std::sort(found.begin(), found.end());
    std::vector<uint64_t> tokens;
    tokens.reserve(found.size());
    for (const auto& [serial, token] : found) tokens.push_back(token);
    return tokens;
  }

  uint32_t free_slot() {
    if (free_ == kNone) {
      slots_.emplace_back();
      return static_cast<uint32_t>(slots_.size() - 1);
    }
    return std::exchange(free_, slots_[free_].next);
  }

  uint32_t& bucket_of(const Slot& slot) { return buckets_[tick_of(slot.deadline) % kBuckets]; }

  void link(uint32_t index) {
    Slot& slot = slots_[index];
    uint32_t& head = bucket_of(slot);
    slot.prev = kNone;
    slot.next = head;
    if (head != kNone) slots_[head].prev = index;
    head = index;
  }

  void unlink(uint32_t index) {
    Slot& slot = slots_[index];
    if (slot.prev != kNone)
      slots_[slot.prev].next = slot.next;
    else
      bucket_of(slot) = slot.next;
    if (slot.next != kNone) slots_[slot.next].prev = slot.prev;
  }

  void arm(uint64_t tick) {
    if (timer_->active() && armed_tick_ <= tick) return;
    armed_tick_ = tick;
    timer_->start(kTick * static_cast<int64_t>(tick) - clock_.now());
  }

  void on_timer() {
    const MonoTime now = clock_.now();
    const uint64_t now_tick = tick_of(now);
    const uint64_t first_tick =
        std::max(open_tick_, now_tick - std::min(now_tick, uint64_t{kBuckets}));
    std::vector<std::pair<uint64_t, uint64_t>> due;
    for (uint64_t tick = first_tick; tick < now_tick; ++tick) {
      for (uint32_t i = buckets_[tick % kBuckets]; i != kNone; i = slots_[i].next)
        if (slots_[i].deadline <= now)
          due.emplace_back(slots_[i].serial, (uint64_t{slots_[i].generation} << 32) | i);
    }
    open_tick_ = now_tick;
    const std::weak_ptr<char> alive = alive_;
    for (const uint64_t token : in_order(std::move(due))) {
      if (auto entry = take(token)) expired_(std::move(*entry));
      if (alive.expired()) return;
    }
    // A bucket may hold entries that are whole turns away: then the timer fires once for nothing.
    for (uint64_t tick = now_tick; size_ != 0 && tick < now_tick + kBuckets; ++tick) {
      if (buckets_[tick % kBuckets] == kNone) continue;
      arm(tick + 1);
      return;
    }
  }

  Clock& clock_;
  std::unique_ptr<Timer> timer_;
  const size_t max_count_;
  std::move_only_function<void(Entry)> expired_;
  std::vector<Slot> slots_;
  std::array<uint32_t, kBuckets> buckets_;
  uint32_t free_ = kNone;
  size_t size_ = 0;
  uint64_t next_serial_ = 0;
  uint64_t armed_tick_ = 0;
  uint64_t open_tick_ = 0;  ///< no entry has its deadline before this tick
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
