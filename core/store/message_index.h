// Sequence → where the message lies. Sparse and compact: 16 bytes a message, chunks of 256 that go
// when their last message goes.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>

namespace sluice {

/// Place of one stored message. On file: file number and offset / 8; in memory: an address.
struct MessagePlace {
  uint32_t file = 0;
  uint32_t offset8 = 0;
  uint32_t accounted_bytes = 0;  ///< as StreamState counts; 0 = no message here
  uint32_t subject_hash = 0;

  bool present() const { return accounted_bytes != 0; }
  bool same_place(const MessagePlace& o) const { return file == o.file && offset8 == o.offset8; }
};
static_assert(sizeof(MessagePlace) == 16);

/// Not thread safe. All calls O(1) but for next/prev, which skip empty chunks.
class MessageIndex {
 public:
  /// nullptr when there is none.
  MessagePlace* find(uint64_t seq);
  const MessagePlace* find(uint64_t seq) const { return const_cast<MessageIndex*>(this)->find(seq); }
  /// Inserts or overwrites. @return false when `seq` is so far from the others that the table would
  /// be absurd (only damaged numbers are).
  bool put(uint64_t seq, const MessagePlace& place);
  bool erase(uint64_t seq);
  void clear();
  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Smallest present ≥ seq; 0 = none.
  uint64_t next(uint64_t seq) const;
  /// Largest present ≤ seq; 0 = none.
  uint64_t prev(uint64_t seq) const;

 private:
  static constexpr uint64_t kChunk = 256;
  static constexpr uint64_t kMaxChunks = uint64_t{1} << 32;
  struct Chunk {
    uint32_t used = 0;
    std::array<MessagePlace, kChunk> places;
  };
  void trim();

  std::deque<std::unique_ptr<Chunk>> chunks_;
  uint64_t base_ = 0;  ///< chunk number of chunks_.front()
  uint64_t size_ = 0;
};

}  // namespace sluice
