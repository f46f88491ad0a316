// The hash table behind SubjectTree: (parent node, token) → child node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace sluice {

namespace token_hash {
inline uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}
}  // namespace token_hash

/// Multiply-and-fold over 8 bytes at a time (the scheme of wyhash).
inline uint32_t hash_token(std::string_view token) {
  constexpr uint64_t kFirst = 0xa0761d6478bd642f;
  constexpr uint64_t kSecond = 0xe7037ed1a0b428db;
  const char* at = token.data();
  size_t left = token.size();
  uint64_t state = kFirst ^ left;
  uint64_t word = 0;
  for (; left > 8; left -= 8, at += 8) {
    std::memcpy(&word, at, 8);
    state = token_hash::mix(state ^ word, kSecond);
  }
  if (left >= 4) {
    uint32_t low = 0;
    uint32_t high = 0;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + left - 4, 4);
    word = (static_cast<uint64_t>(high) << 32) | low;
  } else if (left > 0) {
    word = (static_cast<uint64_t>(static_cast<unsigned char>(at[0])) << 16) |
           (static_cast<uint64_t>(static_cast<unsigned char>(at[left / 2])) << 8) |
           static_cast<unsigned char>(at[left - 1]);
  }
  const uint64_t folded = token_hash::mix(state ^ word, kSecond);
  return static_cast<uint32_t>(folded ^ (folded >> 32));
}

/// Linear probing, at most half full, no tombstones (erase shifts back). Child 0 means none.
class TokenTable {
 public:
  /// `is_token(child)` decides between children of one parent with equal hashes.
  template <class F>
  uint32_t find(uint32_t parent, uint32_t token_hash, F&& is_token) const {
    if (slots_.empty()) return 0;
    const uint32_t hash = combine(parent, token_hash);
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = slots_[i];
      if (slot.child == 0) return 0;
      if (slot.hash == hash && slot.parent == parent && is_token(slot.child)) return slot.child;
    }
  }

  void insert(uint32_t parent, uint32_t token_hash, uint32_t child);
  /// The entry must be there.
  void erase(uint32_t parent, uint32_t token_hash, uint32_t child);

 private:
  struct Slot {
    uint32_t hash = 0;
    uint32_t parent = 0;
    uint32_t child = 0;
  };

  static uint32_t combine(uint32_t parent, uint32_t token_hash) {
    const uint64_t mixed =
        (token_hash ^ (static_cast<uint64_t>(parent) << 32 | parent)) * 0x9e3779b97f4a7c15;
    return static_cast<uint32_t>(mixed >> 32);
  }
  void place(const Slot& slot);
  void grow();

  std::vector<Slot> slots_;
  size_t mask_ = 0;
  size_t used_ = 0;
};

}  // namespace sluice
