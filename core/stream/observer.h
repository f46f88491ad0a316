// Who hears of a stream's changes: its consumers.
#pragma once

#include <string_view>

#include "base/ids.h"
#include "base/time_format.h"

namespace sluice {

/// Loop thread only. Called synchronously; must not destroy the stream.
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;
  /// Messages up to `last` have become visible (durable). May skip numbers.
  virtual void on_visible(StreamSeq last) = 0;
  /// One message went: by limits, age, delete, rollup or filtered purge. `subject` is for the call.
  virtual void on_removed(StreamSeq seq, std::string_view subject) = 0;
  /// Everything below `first_kept` went at once (whole purge).
  virtual void on_purged_below(StreamSeq first_kept) = 0;
  /// Interest and work-queue retention: does this observer still have to see or acknowledge it?
  virtual bool needs(StreamSeq seq, std::string_view subject) const = 0;
  /// Does its filter select this subject at all?
  virtual bool selects(std::string_view subject) const = 0;
  /// The stream is about to be deleted; the observer will be destroyed by its owner.
  virtual void on_stream_deleted() = 0;
};

}  // namespace sluice
