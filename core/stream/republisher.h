// Publishes stored messages again on other subjects (ADR-28): the `republish` option of a stream.
//
// A message waits here, whole, until it is visible: its stream may have trimmed it by then, and what
// was republished must not be taken back by a crash.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/time_format.h"
#include "bus/bus.h"
#include "io/random.h"
#include "stream/stream_config.h"
#include "subject/transform.h"

namespace sluice {

/// Best effort: what waits when the process ends is not republished. Bounded by the stream's queue of
/// answers, in which each waiting message stands too. Loop thread only.
class Republisher {
 public:
  /// `config` is the stream's and outlives this; it has been checked.
  Republisher(Bus& bus, Random& random, const StreamConfig& config);

  /// `config` changed. What waits goes where it was bound.
  void reconfigure();
  bool enabled() const { return transform_.has_value(); }
  /// Takes a copy of a message that was just appended, when the source matches its subject.
  /// @param previous the message before it on its subject; zero = none
  void hold(const Message& stored, StreamSeq seq, StreamSeq previous, WallNanos time);
  /// Publishes what is visible now. Handlers may call clear() and hold() meanwhile.
  void release(StreamSeq visible);
  void clear() { waiting_.clear(); }

  uint64_t republished() const { return republished_; }
  /// Not republished, because the stream itself would have taken it in again.
  uint64_t looped() const { return looped_; }

 private:
  struct Waiting {
    StreamSeq seq;
    std::string subject;
    std::string headers;
    std::string payload;
  };
  bool is_own(std::string_view subject) const;

  Bus& bus_;
  Random& random_;
  const StreamConfig& config_;
  std::optional<SubjectTransform> transform_;
  std::deque<Waiting> waiting_;
  uint64_t republished_ = 0;
  uint64_t looped_ = 0;
};

}  // namespace sluice
