// Reads the source of a copy in order: a log by position, a queue (work-queue or interest retention) through a durable
// consumer whose acks take messages away.
//
// A queue's message is acknowledged when settled() says that its copy is durable, or was not wanted. What an earlier
// session took and did not acknowledge comes again, late and among newer ones: it is waited for, and all is told in the
// stream's order. A session that ends gives back what it did not settle; what a killed one held comes after the consumer's
// ack_wait. While a copy is long on its way the consumer is told that work goes on. A delivery that is missing ends the
// session: it would come again behind newer ones.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/stream_client.h"
#include "client/stream_reader.h"
#include "io/env.h"

namespace sluice {

/// Loop thread only.
class SourceReader {
 public:
  using Events = StreamReader::Events;
  virtual ~SourceReader() = default;
  virtual void start() = 0;
  /// Asks for no more until resume(); what is on its way still comes.
  virtual void pause() = 0;
  virtual void resume() = 0;
  virtual uint64_t repeated() const = 0;
  /// Nothing up to this message needs to be read again.
  virtual void settled(StreamSeq) {}
};

/// Name of a worker's consumers and elections, as Stream Replicator makes it.
std::string worker_consumer_name(const std::string& worker);

struct QueuePlan {
  std::string stream;
  std::string worker;         ///< names the durable consumer, which is used as it is found and made when it is missing
  std::vector<std::string> filters{};
  WallNanos created = 0;      ///< of the stream; another one of the same name is not read
  size_t window_messages = 1000;  ///< taken and not settled
  size_t window_bytes = 0;        ///< asked for ahead; 0 = no bound
  std::string description{};
};

std::unique_ptr<SourceReader> read_log(Env& env, StreamClient& client, ReadPlan plan, SourceReader::Events events);
std::unique_ptr<SourceReader> read_queue(Env& env, StreamClient& client, QueuePlan plan, SourceReader::Events events);

}  // namespace sluice
