// Which message ids a stream has seen within its duplicate window, and under which sequence.
//
// An id is kept as its 128-bit hash (keyed, so that ids can't be chosen to collide) with sequence and
// time: 32 bytes in a queue ordered by arrival plus an open-addressed index over it. Ids leave when
// they are older than the window; when the bound on entries is hit, the oldest leave early and are
// counted, because refusing publishes for that would be worse.
#pragma once

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
  /// `window` zero = off: nothing is remembered.
  DedupWindow(std::chrono::nanoseconds window, uint64_t hash_key, size_t max_ids);

  void set_window(std::chrono::nanoseconds window, WallNanos now);
  bool enabled() const { return window_.count() > 0; }
  /// The sequence under which `id` was seen within the window that ends at `now`.
  std::optional<StreamSeq> find(std::string_view id, WallNanos now);
  /// Remembers an id that find() did not know.
  void insert(std::string_view id, StreamSeq seq, WallNanos time);
  size_t size() const { return entries_.size(); }
  uint64_t forgotten_early() const { return forgotten_early_; }

 private:
  struct Hash {
    uint64_t low = 0;
    uint64_t high = 0;
    bool operator==(const Hash&) const = default;
  };
  struct Entry {
    Hash hash;
    StreamSeq seq;
    WallNanos time = 0;
  };
  static constexpr uint64_t kFree = 0;  ///< slots hold entry number + 1

  Hash hash(std::string_view id) const;
  void expire(WallNanos now);
  void drop_oldest();
  void grow();
  size_t slot_of(const Hash& hash) const;
  const Entry& entry(uint64_t slot_value) const { return entries_[slot_value - 1 - first_number_]; }

  std::chrono::nanoseconds window_;
  uint64_t hash_key_;
  size_t max_ids_;
  uint64_t forgotten_early_ = 0;
  std::deque<Entry> entries_;     ///< oldest first
  uint64_t first_number_ = 0;     ///< number of entries_.front(), rising for the life of the window
  std::vector<uint64_t> slots_;   ///< power of two, at most half full
};

}  // namespace sluice
