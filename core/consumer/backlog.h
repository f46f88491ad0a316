// num_pending: how many visible messages a consumer still has in front of it. Exact and incremental.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/ids.h"
#include "consumer/cursor.h"

namespace sluice {

/// Counts what its cursor has ahead, up to visible(). Invariant: equals cursor.count_ahead(visible()), unless inexact().
class Backlog {
 public:
  explicit Backlog(Cursor& cursor) : cursor_(cursor) {}

  /// From scratch; everything up to `visible` counts.
  void recount(StreamSeq visible) {
    visible_ = visible;
    count_ = cursor_.count_ahead(visible);
    inexact_ = cursor_.unreadable();
  }
  void on_visible(StreamSeq last) {
    if (last <= visible_) return;
    count_ += cursor_.count_ahead_between(visible_, last);
    inexact_ |= cursor_.unreadable();
    visible_ = last;
  }
  /// A message left the stream, before the cursor met it or after.
  void on_removed(StreamSeq seq, std::string_view subject) {
    // Entries of the cursor's list count from the start, visible or not.
    const bool counted = cursor_.in_list_ahead(seq) || (seq <= visible_ && cursor_.is_ahead(seq));
    if (!counted || !cursor_.selects(subject)) return;
    take_one();
  }
  void on_delivered() { take_one(); }
  void undo_delivered() { ++count_; }

  uint64_t count() const { return count_; }
  StreamSeq visible() const { return visible_; }
  /// The disk refused a read while it was counted: it may be too low until the next recount().
  bool inexact() const { return inexact_; }

 private:
  void take_one() {
    SLUICE_CHECK(count_ > 0 || inexact_);
    if (count_ > 0) --count_;
  }

  Cursor& cursor_;
  uint64_t count_ = 0;
  StreamSeq visible_;
  bool inexact_ = false;
};

}  // namespace sluice
