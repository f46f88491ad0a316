// What earlier uses of a journal file left in it: a recycled file still holds, behind what was written over them, the
// records of before. An erase has to know, and overwrites them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace sluice {

struct StreamSpan;

/// Of one file. Bounds only: "may hold" can be wrong, "does not" never.
class Leftovers {
 public:
  /// Of a file whose past is not known.
  static Leftovers unknown();
  bool empty() const { return layers_.empty(); }
  /// Whether message `seq` may stand at or behind offset `from`.
  bool may_hold(uint32_t stream, uint64_t seq, uint64_t from) const;
  /// A use ends, which wrote messages of `streams` up to offset `end`: what stood before it is gone.
  void used(uint64_t end, const std::unordered_map<uint32_t, StreamSpan>& streams);
  /// It is all zeros from where the current use ends.
  void clear() { layers_.clear(); }

 private:
  struct Span {
    uint32_t stream;
    uint64_t first;
    uint64_t last;
  };
  /// One use, of which nothing is left below the end of the next one.
  struct Layer {
    uint64_t end = 0;
    bool anything = false;  ///< not known what
    std::vector<Span> spans;  ///< by rising stream
  };
  std::vector<Layer> layers_;  ///< newest last, so by falling end
};

}  // namespace sluice
