// Memory in large pieces: not zeroed, and in huge pages where the kernel has some to give, since a first touch of
// each small page costs more than what is done with its bytes.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace sluice {

inline constexpr size_t kHugePage_bytes = 2 * 1024 * 1024;

struct FreeLargeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using LargeMemory = std::unique_ptr<std::byte[], FreeLargeMemory>;

/// At least `bytes`, rounded up to whole huge pages. Throws std::bad_alloc.
inline LargeMemory take_large_memory(size_t bytes) {
  const size_t whole = (bytes + kHugePage_bytes - 1) / kHugePage_bytes * kHugePage_bytes;
  LargeMemory memory(static_cast<std::byte*>(std::aligned_alloc(kHugePage_bytes, whole)));
  if (memory == nullptr) throw std::bad_alloc();
  ::madvise(memory.get(), whole, MADV_HUGEPAGE);  // a wish: without it pages are small
  return memory;
}

/// A piece and what it holds.
struct LargePiece {
  LargeMemory memory;
  size_t bytes = 0;
};

/// Keeps up to `most` pieces for who needs one again soon: the kernel clears each new one, which takes as long as filling it.
/// For one thread at a time.
class LargeMemoryStock {
 public:
  explicit LargeMemoryStock(size_t most) : most_(most) {}

  /// One of at least `bytes`.
  LargePiece take(size_t bytes) {
    for (LargePiece& kept : kept_) {
      if (kept.bytes < bytes) continue;
      std::swap(kept, kept_.back());
      LargePiece piece = std::move(kept_.back());
      kept_.pop_back();
      return piece;
    }
    return {take_large_memory(bytes), bytes};
  }
  void give_back(LargePiece piece) {
    if (piece.memory != nullptr && kept_.size() < most_) kept_.push_back(std::move(piece));
  }
  void clear() { kept_.clear(); }
  size_t size() const { return kept_.size(); }

 private:
  size_t most_;
  std::vector<LargePiece> kept_;
};

}  // namespace sluice
