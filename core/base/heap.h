// The process's heap in huge pages.
#pragma once

#include <cstddef>

namespace sluice {

/// Reserves `bytes` of address space at the heap's end and asks the kernel for huge pages there, once, before the heap has
/// grown: what lives in many small objects is then reached through few pages. Memory is taken only as it is used, in pieces of a
/// huge page; what was used stays the heap's. Where there is no such room the heap stays as it was: false.
bool put_heap_in_huge_pages(size_t bytes);

}  // namespace sluice
