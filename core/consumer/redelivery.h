// Which pending messages are to be delivered again: those whose time is up, in order of stream
// sequence, and those refused by a client, behind them in order of arrival.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "consumer/pending.h"
#include "io/clock.h"

namespace sluice {

/// Holds sequences only; Pending says what is still true of them. Deadlines are a heap whose stale
/// entries are dropped when met, and swept when they outnumber the pending messages.
class Redelivery {
 public:
  /// `message` will be due at message.due.
  void arm(const PendingMessage& message, Pending& pending);
  /// Now. Marks it queued.
  void enqueue(PendingMessage& message, Pending& pending);
  /// Takes those due at `now` off the deadlines, lowest stream sequence first.
  std::vector<StreamSeq> take_due(MonoTime now, const Pending& pending);
  /// Next to deliver, left in place; nullptr when none waits.
  PendingMessage* front(Pending& pending);
  void pop() { ready_.pop_front(); }
  /// Earliest deadline of a message that is pending and not queued.
  std::optional<MonoTime> next_due(const Pending& pending);
  /// Deadlines of all pending messages anew (start-up, changed ack_wait).
  void rebuild(Pending& pending);
  void clear();

  size_t deadlines() const { return heap_.size(); }

 private:
  struct Deadline {
    MonoTime due;
    StreamSeq seq;
    bool operator>(const Deadline& other) const { return due > other.due; }
  };
  static bool is_live(const Deadline& deadline, const Pending& pending);
  void push(Deadline deadline);
  void pop_deadline();

  std::vector<Deadline> heap_;
  std::deque<StreamSeq> ready_;
};

}  // namespace sluice
