// The atomic batches that clients are sending to one stream (ADR-50).
//
// Messages are staged in memory as they come and checked only at the commit, when the stream takes all of
// them or none. What is staged is bounded by BatchLimits; an idle batch is abandoned. A restart forgets
// all: nothing of them was acknowledged.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bus/bus.h"
#include "io/env.h"
#include "io/timers.h"
#include "stream/batch_limits.h"
#include "stream/publish_headers.h"

namespace sluice {

/// Loop thread only. Owned by a stream.
class AtomicBatches {
 public:
  struct Staged {
    std::string subject;
    std::string headers;
    std::string payload;
  };
  struct Batch {
    std::string id;
    std::vector<Staged> messages;
    size_t bytes = 0;
    MonoTime last_heard{0};
  };
  enum class Reason : uint8_t { kTimeout, kLarge, kIncomplete, kUnsupported };
  using OnAbandoned = std::move_only_function<void(std::string_view id, Reason reason)>;

  AtomicBatches(Env& env, const BatchLimits& limits, BatchesOpen& open, OnAbandoned on_abandoned);
  ~AtomicBatches() { forget_all(); }
  AtomicBatches(const AtomicBatches&) = delete;
  AtomicBatches& operator=(const AtomicBatches&) = delete;

  /// Takes one message of a batch; `headers` has a batch_id and is parsed from message.headers.
  /// @param api_level  of this server: a batch that needs more is refused
  /// @return nothing while the batch goes on; the whole batch with its last message; 10175, 10176, 10179,
  /// 10185, 10199, 10200, 10210, after which the batch is gone.
  Result<std::optional<Batch>> take(const PublishHeaders& headers, const Message& message, int api_level);
  /// Drops the batch without a word (one of its messages was refused).
  void forget(std::string_view id);
  void forget_all();
  size_t size() const { return open_here_.size(); }

 private:
  using Open = std::map<std::string, Batch, std::less<>>;

  std::unexpected<Error> refuse(std::string_view id, uint16_t code, std::optional<Reason> reason);
  Result<Open::iterator> begin(std::string_view id);
  Batch finish(Open::iterator at);
  void close(Open::iterator at);
  void abandon_idle();

  Env& env_;
  const BatchLimits& limits_;
  BatchesOpen& open_in_all_;
  OnAbandoned on_abandoned_;
  Open open_here_;
  std::unique_ptr<Timer> idle_timer_;
};

const char* to_string(AtomicBatches::Reason reason);

}  // namespace sluice
