// Fast ingest batches (ADR-50): a client streams messages and is told now and then how far they got.
//
// A batch is recognised by its reply subjects, <prefix>.<id>.<flow>.<gap>.<sequence>.<operation>.$FI.
// Nothing is staged: each message is stored as it comes. This class knows the conversation; the stream
// stores and answers. Bounded by BatchLimits; an idle batch is forgotten.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "io/env.h"
#include "io/timers.h"
#include "stream/batch_limits.h"

namespace sluice {

/// What the reply subject of a fast batch's message says.
struct FastReply {
  enum class Operation : uint8_t { kStart, kAppend, kAppendAndCommit, kCommit, kPing };
  std::string_view id;
  uint64_t flow = 0;  ///< messages the client would like between two acks
  bool stop_at_gap = false;
  uint64_t sequence = 0;
  Operation operation = Operation::kStart;
};

bool is_fast_reply(std::string_view reply);
/// 10206 for what is_fast_reply() accepts but is no such subject; 10207 for a bad id.
Result<FastReply> parse_fast_reply(std::string_view reply);

/// Loop thread only. Owned by a stream.
class FastBatches {
 public:
  struct Batch {
    uint64_t last = 0;        ///< sequence within the batch, gaps included
    uint64_t next_ack = 0;    ///< sequence at which the client is told again
    uint64_t acked = 0;
    uint64_t flow = 1;        ///< messages between two acks now
    uint64_t wanted_flow = 1; ///< the client's wish, bounded
    StreamSeq stored;         ///< the newest of its messages in the stream
    MonoTime last_heard{0};
  };

  FastBatches(Env& env, const BatchLimits& limits, BatchesOpen& open);
  ~FastBatches() { forget_all(); }
  FastBatches(const FastBatches&) = delete;
  FastBatches& operator=(const FastBatches&) = delete;

  Batch* find(std::string_view id);
  /// 10211 when too many are open.
  Result<Batch*> begin(const FastReply& reply);
  void close(std::string_view id);
  void forget_all();
  /// Notes that an ack for `batch.last` goes out now: its flow comes nearer to its share.
  void acked(Batch& batch);
  size_t size() const { return open_here_.size(); }

 private:
  uint64_t share(const Batch& batch) const;
  void forget_idle();

  Env& env_;
  const BatchLimits& limits_;
  BatchesOpen& open_in_all_;
  std::map<std::string, Batch, std::less<>> open_here_;
  std::unique_ptr<Timer> idle_timer_;
};

}  // namespace sluice
