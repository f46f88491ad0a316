// Numbers that must not be mixed up: each has a type of its own.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace sluice {

/// A 64-bit number with a meaning. Does not convert to or from other ids.
template <class Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  constexpr StrongId next() const { return StrongId(value_ + 1); }
  constexpr StrongId prev() const { return StrongId(value_ - 1); }
  constexpr bool is_zero() const { return value_ == 0; }
  constexpr auto operator<=>(const StrongId&) const = default;

 private:
  uint64_t value_ = 0;
};

/// Place of a message in its stream: 1, 2, 3 …; 0 = none.
using StreamSeq = StrongId<struct StreamSeqTag>;
/// Place of a delivery in its consumer, redeliveries counted: 1, 2, 3 …; 0 = none.
using ConsumerSeq = StrongId<struct ConsumerSeqTag>;
/// Place of a write in the store's journal, rising for the life of the store directory; everything
/// up to and including the journal's durable number is on disk.
using CommitNo = StrongId<struct CommitNoTag>;

}  // namespace sluice

template <class Tag>
struct std::hash<sluice::StrongId<Tag>> {
  size_t operator()(sluice::StrongId<Tag> id) const noexcept { return std::hash<uint64_t>{}(id.value()); }
};
