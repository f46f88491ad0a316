// Which message ids a stream has seen within its duplicate window, and under which sequence.
//
// An id is kept as 96 bits of its hash (keyed, so that ids can't be chosen to collide; by chance two of ten million
// do once in 10^15 windows) with sequence and time: 28 bytes in a queue ordered by arrival plus an open-addressed
// index over it of 4 bytes a slot, in all under 40 bytes an id. Ids leave when they are older than the window; when the bound on entries is hit, the oldest leave early and are
// counted, because refusing publishes for that would be worse.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time_format.h"

namespace sluice {

/// Owned by a stream. Loop thread only.
class DedupWindow {
 public:
  /// `window` zero = off: nothing is remembered. `first_number`: where the count of entries begins, which wraps.
  DedupWindow(std::chrono::nanoseconds window, uint64_t hash_key, size_t max_ids, uint64_t first_number = 0);

  void set_window(std::chrono::nanoseconds window, WallNanos now);
  bool enabled() const { return window_.count() > 0; }
  /// The sequence under which `id` was seen within the window that ends at `now`.
  std::optional<StreamSeq> find(std::string_view id, WallNanos now);
  /// Remembers an id that find() did not know.
  void insert(std::string_view id, StreamSeq seq, WallNanos time);
  size_t size() const { return entries_.size(); }
  uint64_t forgotten_early() const { return forgotten_early_; }
  /// Of entries and index; what the allocator adds is not in it.
  size_t memory_bytes() const { return entries_.size() * sizeof(Entry) + slots_.size() * sizeof(uint32_t); }

 private:
  struct Hash {
    uint64_t low = 0;
    uint32_t high = 0;
    bool operator==(const Hash&) const = default;
  };
  /// Words of 4 bytes, low half first: 28 bytes where 8-byte members would take 32.
  class Entry {
   public:
    Entry(const Hash& hash, StreamSeq seq, WallNanos time)
        : words_{low(hash.low), high(hash.low), hash.high, low(seq.value()), high(seq.value()),
                 low(static_cast<uint64_t>(time)), high(static_cast<uint64_t>(time))} {}
    Hash hash() const { return {join(0), words_[2]}; }
    StreamSeq seq() const { return StreamSeq(join(3)); }
    WallNanos time() const { return static_cast<WallNanos>(join(5)); }

   private:
    static uint32_t low(uint64_t n) { return static_cast<uint32_t>(n); }
    static uint32_t high(uint64_t n) { return static_cast<uint32_t>(n >> 32); }
    uint64_t join(size_t at) const { return words_[at] | uint64_t{words_[at + 1]} << 32; }
    std::array<uint32_t, 7> words_;
  };
  static_assert(sizeof(Entry) == 28);
  static constexpr uint32_t kFree = 0;
  static constexpr uint64_t kNumbers = UINT32_MAX;  ///< slots hold entry number modulo this, + 1

  Hash hash(std::string_view id) const;
  void expire(WallNanos now);
  void drop_oldest();
  void grow();
  size_t slot_of(const Hash& hash) const;
  static uint32_t slot_value(uint64_t number) { return static_cast<uint32_t>(number % kNumbers + 1); }
  const Entry& entry(uint32_t value) const {
    return entries_[(value - 1 + kNumbers - first_number_ % kNumbers) % kNumbers];
  }

  std::chrono::nanoseconds window_;
  uint64_t hash_key_;
  size_t max_ids_;
  uint64_t forgotten_early_ = 0;
  std::deque<Entry> entries_;     ///< oldest first
  uint64_t first_number_;         ///< number of entries_.front(), rising for the life of the window
  std::vector<uint32_t> slots_;   ///< power of two, at most three quarters full
};

}  // namespace sluice
