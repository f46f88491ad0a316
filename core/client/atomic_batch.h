// Stores several messages of one stream together: all of them, or none (ADR-50).
#pragma once

#include <chrono>
#include <string>

#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// What every server takes in one batch.
inline constexpr size_t kMaxAtomicBatch_count = 1000;

struct BatchMessage {
  std::string subject;
  std::string headers;  ///< whole block or empty; the batch's own headers are added to it
  std::string payload;
};

/// One batch, at most kMaxAtomicBatch_count messages, all for one stream with allow_atomic. What is added is sent at
/// once and is nothing until commit(); a batch that is not committed within some seconds is forgotten by the server.
/// Loop thread only; `client` outlives it.
class AtomicBatch {
 public:
  AtomicBatch(Env& env, StreamClient& client);

  /// kFull, kClosed: the link takes no more for now, and this batch can't be committed any more.
  Status add(const BatchMessage& message);
  /// Its last message. `done` runs once, later. Success: all are durable, with consecutive sequences, and the ack is
  /// that of the last. kTimeout and kClosed: nobody knows; a fence (Nats-Expected-Last-Subject-Sequence) tells when it
  /// is tried again. Errors of a check on one of them are for the whole batch, none is stored.
  Ticket commit(const BatchMessage& last, std::chrono::nanoseconds timeout, std::move_only_function<void(Result<PubAck>)> done);

 private:
  std::string headers_of(const BatchMessage& message);

  StreamClient* client_;
  std::string id_;
  size_t count_ = 0;
};

}  // namespace sluice
