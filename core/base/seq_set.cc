#include "base/seq_set.h"

#include <algorithm>

#include "base/check.h"

namespace sluice {

uint64_t SeqSet::insert_range(uint64_t first, uint64_t last) {
  SLUICE_CHECK(first <= last);
  uint64_t added = last - first + 1;
  auto it = ranges_.upper_bound(first);
  if (it != ranges_.begin()) {
    auto before = std::prev(it);
    if (before->second + 1 >= first) it = before;  // touches or overlaps
  }
  uint64_t new_first = first;
  uint64_t new_last = last;
  while (it != ranges_.end() && it->first <= last + 1) {
    uint64_t overlap_first = std::max(it->first, first);
    uint64_t overlap_last = std::min(it->second, last);
    if (overlap_first <= overlap_last) added -= overlap_last - overlap_first + 1;
    new_first = std::min(new_first, it->first);
    new_last = std::max(new_last, it->second);
    it = ranges_.erase(it);
  }
  ranges_.emplace_hint(it, new_first, new_last);
  size_ += added;
  return added;
}

bool SeqSet::erase(uint64_t seq) {
  auto it = ranges_.upper_bound(seq);
  if (it == ranges_.begin()) return false;
  --it;
  if (it->second < seq) return false;
  uint64_t first = it->first;
  uint64_t last = it->second;
  ranges_.erase(it);
  if (first < seq) ranges_.emplace(first, seq - 1);
  if (seq < last) ranges_.emplace(seq + 1, last);
  --size_;
  return true;
}

void SeqSet::erase_below(uint64_t first_kept) {
  while (!ranges_.empty()) {
    auto it = ranges_.begin();
    if (it->first >= first_kept) return;
    if (it->second < first_kept) {
      size_ -= it->second - it->first + 1;
      ranges_.erase(it);
      continue;
    }
    size_ -= first_kept - it->first;
    uint64_t last = it->second;
    ranges_.erase(it);
    ranges_.emplace(first_kept, last);
    return;
  }
}

bool SeqSet::contains(uint64_t seq) const {
  auto it = ranges_.upper_bound(seq);
  return it != ranges_.begin() && std::prev(it)->second >= seq;
}

uint64_t SeqSet::next_absent(uint64_t seq) const {
  auto it = ranges_.upper_bound(seq);
  if (it == ranges_.begin()) return seq;
  --it;
  return it->second >= seq ? it->second + 1 : seq;
}

}  // namespace sluice
