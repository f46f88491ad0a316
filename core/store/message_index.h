// Sequence → where the message lies. 16 bytes for each message that RAM must know, in chunks of 256; a chunk all of
// whose messages lie in segments is cold: only its count stays, its places are read again when asked for. Chunks stand
// in runs: a hole between two runs costs nothing, so a mirror's sequences may be as far apart as numbers can be.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>

namespace sluice {

/// Place of one stored message. On file: file number and offset / 8; in memory: an address.
struct MessagePlace {
  uint32_t file = 0;
  uint32_t offset8 = 0;
  uint32_t accounted_bytes : 31 = 0;  ///< as StreamState counts; 0 = no message here
  uint32_t cold : 1 = 0;              ///< lies in a segment, whose index pages can tell it again
  uint32_t subject_hash = 0;

  static MessagePlace on_file(uint64_t number, uint64_t offset, uint32_t accounted, bool is_cold, uint32_t hash) {
    MessagePlace place;
    place.file = static_cast<uint32_t>(number);
    place.offset8 = static_cast<uint32_t>(offset / 8);
    place.accounted_bytes = accounted & 0x7fffffff;
    place.cold = is_cold ? 1 : 0;
    place.subject_hash = hash;
    return place;
  }
  bool present() const { return accounted_bytes != 0; }
  bool same_place(const MessagePlace& o) const { return file == o.file && offset8 == o.offset8; }
};
static_assert(sizeof(MessagePlace) == 16);

/// Reads places again from the segments. Implemented by the stream.
class ColdPlaces {
 public:
  virtual ~ColdPlaces() = default;
  /// Fills `places` for the sequences from `first` on, only those that are still stored, all marked cold.
  /// @return false when some could not be read now.
  virtual bool load_places(uint64_t first, std::span<MessagePlace> places) = 0;
};

class MessageIndex;

/// The loaded cold chunks of many indexes; drops those not used lately beyond a number. Loop thread only.
class ColdCache {
 public:
  explicit ColdCache(size_t max_chunks) : max_chunks_(max_chunks < kLeast ? kLeast : max_chunks) {}
  void loaded(MessageIndex& index, uint64_t chunk);
  /// The index goes away.
  void forget(const MessageIndex& index);
  uint64_t loads() const { return loads_; }
  size_t size() const { return queue_.size(); }

 private:
  static constexpr size_t kLeast = 16;
  struct Entry {
    MessageIndex* index;
    uint64_t chunk;
  };
  size_t max_chunks_;
  uint64_t loads_ = 0;
  std::deque<Entry> queue_;  ///< oldest first; may name chunks that are gone
};

/// Not thread safe. All calls O(log runs) but for next/prev, which skip empty chunks; a cold chunk costs a read.
class MessageIndex {
 public:
  static constexpr uint64_t kChunk = 256;

  MessageIndex() = default;
  ~MessageIndex();
  MessageIndex(MessageIndex&& other) noexcept { *this = std::move(other); }
  MessageIndex& operator=(MessageIndex&& other) noexcept;

  /// From now on it may have cold chunks. Both must outlive it.
  void use_cold(ColdPlaces& places, ColdCache& cache);

  /// nullptr when there is none. Good until the next call that may load another chunk.
  MessagePlace* find(uint64_t seq);
  const MessagePlace* find(uint64_t seq) const { return const_cast<MessageIndex*>(this)->find(seq); }
  /// Inserts or overwrites. Never fails: beside cold places that can't be read now it stands alone until they can.
  void put(uint64_t seq, const MessagePlace& place);
  /// put() of a `seq` behind all others is about to come: fetches where it goes into the processor's cache.
  void prefetch_put(uint64_t seq) const {
    if (tail_.slot == nullptr) return;
    __builtin_prefetch(tail_.slot, 1);
    __builtin_prefetch(&tail_.places->places[seq % kChunk], 1);
  }
  bool erase(uint64_t seq);
  void clear();
  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// The place of next(seq), which becomes `seq`; nullptr when that is 0. Good as long as find()'s.
  MessagePlace* seek(uint64_t& seq);
  /// Smallest present ≥ seq; 0 = none, or none that can be told now: a chunk that can't be read stops the search.
  uint64_t next(uint64_t seq) const { return const_cast<MessageIndex*>(this)->seek(seq) == nullptr ? 0 : seq; }
  /// Largest present ≤ seq; 0 as for next().
  uint64_t prev(uint64_t seq) const { return const_cast<MessageIndex*>(this)->find_prev(seq); }

  /// first…last are all present and cold, none of them known so far.
  void add_cold(uint64_t first, uint64_t last);
  /// The messages among first…last whose place `moves` now lie in segments that load_places() knows; where a chunk has
  /// to stay in RAM, `place_of` tells the new place (null: it keeps the old one).
  void cool(uint64_t first, uint64_t last, const std::function<bool(const MessagePlace&)>& moves,
            const std::function<const MessagePlace*(uint64_t seq)>& place_of);
  /// Visits the messages that are not cold.
  void each_young(const std::function<void(const MessagePlace&)>& visit) const;
  /// Drops a loaded cold chunk. @return false when it was used since the last call and is kept once more.
  bool evict(uint64_t chunk);
  size_t chunks_in_memory() const { return in_memory_; }

 private:
  /// A wider hole begins a new run, which takes what so many empty slots would.
  static constexpr uint64_t kMaxHole_chunks = 64;
  struct Chunk {
    std::array<MessagePlace, kChunk> places;
  };
  struct Slot {
    std::unique_ptr<Chunk> chunk;  ///< null: empty, or cold and not loaded
    uint16_t used = 0;
    uint16_t young = 0;  ///< of these, not cold
    bool touched = false;
    bool partial = false;  ///< `chunk` has the young ones only; the cold could not be read when they came
  };
  using Run = std::deque<Slot>;
  using Runs = std::map<uint64_t, Run>;

  Runs::iterator run_at_or_below(uint64_t chunk);
  Slot* slot_of(uint64_t chunk);
  Slot& reach(uint64_t chunk);
  bool load(Slot& slot, uint64_t chunk);
  void drop(Slot& slot);
  uint64_t find_prev(uint64_t seq);
  void trim(uint64_t chunk);
  void cool_slot(Slot& slot, uint64_t chunk, const std::function<bool(const MessagePlace&)>& moves,
                 const std::function<const MessagePlace*(uint64_t seq)>& place_of);

  /// Where put() was last: the next message goes there too, and is found without a way through runs_.
  struct Tail {
    Slot* slot = nullptr;  ///< null: unknown
    Chunk* places = nullptr;
    uint64_t chunk = 0;
  };

  Tail tail_;
  uint64_t size_ = 0;
  Runs runs_;  ///< by the number of their first chunk; none is empty, but a single one may be
  size_t in_memory_ = 0;
  ColdPlaces* cold_ = nullptr;
  ColdCache* cache_ = nullptr;
};

}  // namespace sluice
