// The way in for messages that were not published here: copies of a mirror's or a source's origin.
//
// Neither goes through the checks of a publish; what the stream's own limits forbid is answered.
// Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time_format.h"
#include "bus/bus.h"
#include "stream/source_positions.h"
#include "stream/stream_source.h"

namespace sluice {

/// One message of a source. `message.headers` has its Nats-Stream-Source already; no reply.
struct SourcedMessage {
  const Message& message;
  std::string_view key;       ///< of the source, as SourceHeader::key
  uint64_t origin_seq = 0;
  std::string_view identity;  ///< of the origin; empty = unknown
};

class StreamInbox {
 public:
  virtual ~StreamInbox() = default;

  /// Stores a mirrored message under its own sequence and time; gaps before it are skipped. What the
  /// stream's limits forbid is skipped as well. A sequence that is not above the last is passed over.
  /// @return kFull: too much waits for the disk, offer it again later; other errors carry the API's code.
  virtual Status take_mirrored(StreamSeq seq, WallNanos time, const Message& message) = 0;
  /// Stores a sourced message as the next of the stream, or passes over a duplicate.
  /// @return kFull as above; a refusal (limits, storage) with its API code: the source waits and tries again.
  virtual Status take_sourced(const SourcedMessage& sourced) = 0;

  /// Positions of the configured sources.
  virtual const SourcePositions& source_positions() const = 0;
  /// Nothing of the source is known any more (its origin was made anew).
  virtual void reset_source(std::string_view key, std::string_view identity) = 0;
  /// Positions of other keys are dropped.
  virtual void keep_sources(const std::vector<std::string>& keys) = 0;

  /// Who tells how the copying stands, in the order of the configuration; empty = nobody copies.
  virtual void set_source_reporter(std::function<std::vector<SourceStatus>()> reporter) = 0;
  /// A mirror that has caught up answers direct gets in its origin's name (mirror_direct).
  virtual void set_mirror_current(bool current) = 0;
  /// Empty when nobody copies.
  virtual std::vector<SourceStatus> source_status() const = 0;
};

}  // namespace sluice
