// Little-endian integers in wire and disk bytes; never a cast struct.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace sluice {

static_assert(std::endian::native == std::endian::little, "big-endian hosts are not supported");

template <class T>
T load_le(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline uint16_t load_le16(const void* p) { return load_le<uint16_t>(p); }
inline uint32_t load_le32(const void* p) { return load_le<uint32_t>(p); }
inline uint64_t load_le64(const void* p) { return load_le<uint64_t>(p); }

template <class T>
void store_le(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
inline void store_le16(void* p, uint16_t v) { store_le(p, v); }
inline void store_le32(void* p, uint32_t v) { store_le(p, v); }
inline void store_le64(void* p, uint64_t v) { store_le(p, v); }

}  // namespace sluice
