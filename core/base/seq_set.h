// A set of sequence numbers kept as ranges: a million neighbours cost one node.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>

namespace sluice {

/// Used for deleted sequences and acked prefixes. Not thread safe. Costs O(log ranges) a call.
class SeqSet {
 public:
  /// @return false when `seq` was in the set already.
  bool insert(uint64_t seq) { return insert_range(seq, seq) != 0; }
  /// Inserts first…last (both in). @return how many were new.
  uint64_t insert_range(uint64_t first, uint64_t last);
  bool erase(uint64_t seq);
  /// Removes everything below `first_kept`.
  void erase_below(uint64_t first_kept);
  bool contains(uint64_t seq) const;
  /// The smallest number ≥ `seq` that is not in the set.
  uint64_t next_absent(uint64_t seq) const;
  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() {
    ranges_.clear();
    size_ = 0;
  }
  /// Ranges as first → last (both in), ascending.
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }

 private:
  std::map<uint64_t, uint64_t> ranges_;
  uint64_t size_ = 0;
};

}  // namespace sluice
