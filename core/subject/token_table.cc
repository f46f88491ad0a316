#include "subject/token_table.h"

#include <utility>

#include "base/check.h"

namespace sluice {

void TokenTable::insert(uint32_t parent, uint32_t token_hash, uint32_t child) {
  if ((used_ + 1) * 2 > slots_.size()) grow();
  place({.hash = combine(parent, token_hash), .parent = parent, .child = child});
  ++used_;
}

void TokenTable::place(const Slot& slot) {
  size_t i = slot.hash & mask_;
  while (slots_[i].child != 0) i = (i + 1) & mask_;
  slots_[i] = slot;
}

void TokenTable::grow() {
  std::vector<Slot> old =
      std::exchange(slots_, std::vector<Slot>(slots_.empty() ? 16 : slots_.size() * 2));
  mask_ = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.child != 0) place(slot);
  }
}

void TokenTable::erase(uint32_t parent, uint32_t token_hash, uint32_t child) {
  SLUICE_CHECK(used_ > 0);
  size_t hole = combine(parent, token_hash) & mask_;
  while (slots_[hole].child != child) {
    SLUICE_CHECK(slots_[hole].child != 0);
    hole = (hole + 1) & mask_;
  }
  --used_;
  // Shift back each later entry of the run that may stand in the hole.
  for (size_t i = (hole + 1) & mask_; slots_[i].child != 0; i = (i + 1) & mask_) {
    const size_t home = slots_[i].hash & mask_;
    if (((i - home) & mask_) >= ((i - hole) & mask_)) {
      slots_[hole] = slots_[i];
      hole = i;
    }
  }
  slots_[hole] = Slot{};
}

}  // namespace sluice
