// Small blocks in steps of 8 bytes, cut from chunks: no header for each and no rounding to 16, which for millions of
// blocks of some 50 bytes is a fifth of their memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/large_memory.h"

namespace sluice {

/// Not thread safe. Blocks are aligned to 8. A released block serves the next of its size; chunks go back to the
/// system together, by release_all(). Blocks above kLargest come from operator new. A large pool asks for huge pages:
/// its blocks are read in any order, and else each read would miss the TLB as well.
class BlockPool {
 public:
  static constexpr size_t kLargest = 512;

  BlockPool() = default;
  BlockPool(BlockPool&& other) noexcept { swap(other); }
  BlockPool& operator=(BlockPool&& other) noexcept {
    swap(other);
    return *this;
  }
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool() = default;

  void* take(size_t bytes) {
    if (bytes > kLargest) return ::operator new(bytes);
    const size_t steps = steps_of(bytes);
    if (Free*& head = free_[steps]; head != nullptr) return std::exchange(head, head->next);
    const size_t size = steps * kStep;
    if (left_ < size) add_chunk();
    left_ -= size;
    return next_ + left_;
  }
  /// `bytes` as it was asked for.
  void release(void* block, size_t bytes) {
    if (bytes > kLargest) return ::operator delete(block);
    Free*& head = free_[steps_of(bytes)];
    head = new (block) Free{head};
  }
  /// Every small block is gone after this.
  void release_all() {
    chunks_.clear();
    free_.fill(nullptr);
    next_ = nullptr;
    left_ = 0;
  }

 private:
  struct Free {
    Free* next;
  };
  static constexpr size_t kStep = 8;
  static constexpr size_t kSmallestChunk = 512;  ///< a stream of one subject costs little
  static constexpr size_t kLargestChunk = 64 * 1024;
  static constexpr size_t kChunksOfLargePool = 256;  ///< some 16 MiB

  static size_t steps_of(size_t bytes) { return std::max<size_t>(1, (bytes + kStep - 1) / kStep); }
  void add_chunk() {
    const bool large = chunks_.size() >= kChunksOfLargePool;
    const size_t size = large ? kHugePage_bytes : std::min(kLargestChunk, kSmallestChunk << std::min<size_t>(chunks_.size(), 7));
    LargeMemory chunk = large ? take_large_memory(size) : LargeMemory(static_cast<std::byte*>(std::malloc(size)));
    if (chunk == nullptr) throw std::bad_alloc();
    chunks_.push_back(std::move(chunk));
    next_ = chunks_.back().get();
    left_ = size;
  }
  void swap(BlockPool& other) noexcept {
    std::swap(chunks_, other.chunks_);
    std::swap(free_, other.free_);
    std::swap(next_, other.next_);
    std::swap(left_, other.left_);
  }

  std::vector<LargeMemory> chunks_;
  std::array<Free*, kLargest / kStep + 1> free_{};
  std::byte* next_ = nullptr;  ///< the newest chunk, used from its end down
  size_t left_ = 0;
};

}  // namespace sluice
