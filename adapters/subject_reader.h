// What a message of a subject means: the part in which the adapters of subjects differ.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "base/time_format.h"
#include "client/nats_link.h"
#include "io/clock.h"

namespace sluice {

/// A message as it goes into the stream.
struct SubjectRecord {
  std::string subject;
  std::string headers;
  std::string payload;
  std::string msg_id;  ///< deterministic; empty = none can be given
  std::string lane;    ///< whose order is kept through failures
};

/// `reason` is a stable word (of static storage), for counters and dead letters.
struct SubjectRejection {
  std::string_view reason;
  std::string detail;
};

using SubjectReading = std::expected<SubjectRecord, SubjectRejection>;

/// The time of a batch: clocks are the loop's.
struct ReadAt {
  MonoTime now{};
  WallNanos wall = 0;
};

class SubjectReader {
 public:
  virtual ~SubjectReader() = default;
  virtual std::string_view kind() const = 0;
  /// Whether reading takes so long that the loop must not wait for it; says the same throughout. read() is then called
  /// on a worker, one message at a time, and touches nothing of the loop.
  virtual bool is_slow() const { return false; }
  virtual SubjectReading read(const LinkMessage& message, const ReadAt& at) = 0;
};

}  // namespace sluice
