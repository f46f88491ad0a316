#include "base/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "base/large_memory.h"
#include "base/limits.h"

namespace sluice {

bool put_heap_in_huge_pages(size_t bytes) {
  constexpr size_t kOwnMapping = 1 * kMiB;  // larger blocks come and go by themselves
  constexpr int kMappings = 65'536;            // as the C library has it
  mallopt(M_MMAP_MAX, 0);                      // the block is to stand in the heap
  mallopt(M_TRIM_THRESHOLD, static_cast<int>(2 * bytes));
  void* const room = std::malloc(bytes);
  mallopt(M_MMAP_MAX, kMappings);
  mallopt(M_MMAP_THRESHOLD, kOwnMapping);
  const auto begin = reinterpret_cast<uintptr_t>(room);
  const auto end = reinterpret_cast<uintptr_t>(sbrk(0));
  const bool in_heap = room != nullptr && begin < end && end - begin >= bytes;
  std::free(room);
  if (!in_heap) return false;
  const uintptr_t first = (begin + kHugePage_bytes - 1) / kHugePage_bytes * kHugePage_bytes;
  return ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE) == 0;  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace sluice
