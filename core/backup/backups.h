// The backups of one account that are on their way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "io/env.h"
#include "stream/streams.h"

namespace sluice {

class Consumers;

struct SnapshotRequest {
  std::string deliver_subject;
  bool no_consumers = false;
  uint64_t chunk_size = 0;   ///< 0 = 128 KiB; clamped to 1 KiB … 1 MiB
  uint64_t window_size = 0;  ///< 0 = 8 MiB; clamped to 1 KiB … 32 MiB, at least a chunk
};

struct RestoreFigures {
  WallNanos begun = 0;
  uint64_t bytes = 0;  ///< received
};
/// The last answer of a restore, as the API words it.
using RestoreWords = std::move_only_function<std::string(const Result<Stream*>&, const RestoreFigures&)>;

/// Loop thread only; everything referred to outlives it.
class Backups {
 public:
  static constexpr size_t kMaxAtOnce = 16;

  virtual ~Backups() = default;
  static std::unique_ptr<Backups> make(Env& env, Bus& bus, Streams& streams, Consumers& consumers);

  /// Sends the stream as it is now. `ended` is told once, with the reason when it did not get through.
  /// @return kFull: too many are on their way.
  virtual Status snapshot(Stream& stream, const SnapshotRequest& request,
                          std::move_only_function<void(const Status&)> ended) = 0;
  /// Waits for the chunks of a backup. `words` makes the answer to the last of them, or to the one that failed.
  /// @return the subject to send them to; kFull as above, and the errors of Streams::check_restore().
  virtual Result<std::string> restore(const StreamConfig& config, RestoreWords words) = 0;

  virtual void collect(MetricSink& sink) const = 0;
};

}  // namespace sluice
