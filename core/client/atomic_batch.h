// Stores several messages of one stream together: all of them, or none (ADR-50).
#pragma once

#include <chrono>
#include <span>
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

/// `done` runs once, later. Success: all are durable, with consecutive sequences, and the ack is that of the
/// last. kTimeout and kClosed: nobody knows; a fence (Nats-Expected-Last-Subject-Sequence) tells when it is
/// tried again. Errors of a check on one of them are for the whole batch, none is stored. kFull: the link
/// takes no more for now, none is stored.
/// @param messages  1 … kMaxAtomicBatch_count of them, all for one stream with allow_atomic.
Ticket publish_batch(Env& env, StreamClient& client, std::span<const BatchMessage* const> messages,
                     std::chrono::nanoseconds timeout, std::move_only_function<void(Result<PubAck>)> done);

}  // namespace sluice
