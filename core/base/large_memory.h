// Memory in large pieces: not zeroed, and in huge pages where the kernel has some to give, since a first touch of
// each small page costs more than what is done with its bytes.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

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

}  // namespace sluice
