// What a parser tells must not depend on where its bytes are cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

/// Aborts when `told(bytes, step)` says another thing about the bytes whole and in steps of 1 to `most`; the first byte of the input
/// chooses the step.
template <class Told>
int same_however_cut(const uint8_t* data, size_t size, size_t most, Told told) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (told(bytes, size) != told(bytes, 1 + data[0] % most)) std::abort();
  return 0;
}
