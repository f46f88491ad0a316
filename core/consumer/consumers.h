// All consumers of all streams of one account: create, update, delete, find; recovers them from the
// store and keeps in step with the streams.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "consumer/consumer_config.h"
#include "consumer/consumer_portable.h"
#include "io/env.h"
#include "store/store.h"
#include "stream/streams.h"

namespace sluice {

class Consumer;

struct ConsumersOptions {
  int64_t max_ack_pending_limit = -1;         ///< server or account limit; -1 = none
  int64_t max_request_batch = 0;              ///< server limit of a pull's batch; 0 = none
  int64_t max_consumers_per_stream = -1;      ///< the account's max_consumers: the reference counts each stream
  std::string domain;                         ///< empty = none; also the first token of v2 acks ("_")
  std::string account = "$G";                 ///< as advisories name it
  std::string account_hash = "szMpdrwD";      ///< token of v2 ack subjects ($G)
  int api_level = 0;                          ///< for `Nats-Required-Api-Level` on pulls
  uint32_t messages_per_round = 256;          ///< one consumer hands out at most this many in a round
};

/// `action` of a create request.
enum class ConsumerAction : uint8_t { kCreateOrUpdate, kCreate, kUpdate };

/// Loop thread only. Streams, bus and store outlive it. Consumers live until remove(), the end of
/// their stream or their inactive threshold; pointers must not be kept over a return to the loop.
class Consumers {
 public:
  virtual ~Consumers() = default;

  /// Recovers the consumers of every file stream in `streams` and follows its changes. `store`
  /// nullptr: memory streams only.
  static std::unique_ptr<Consumers> make(Env& env, Bus& bus, Streams& streams, Store* store,
                                         const ConsumersOptions& options);

  /// `config` as parsed; defaults and checks are applied here, in the reference's order. A name is
  /// made when none is given. Errors carry api codes (10012, 10013, 10026, 10052, 10094 …).
  virtual Result<Consumer*> put(Stream& stream, ConsumerConfig config, ConsumerAction action,
                                bool pedantic) = 0;
  /// One of a backup, where it stood. Errors as of put().
  virtual Result<Consumer*> restore(Stream& stream, const PortableConsumer& saved) = 0;
  /// 10014 when there is none.
  virtual Status remove(std::string_view stream, std::string_view consumer) = 0;
  /// No deliveries until `until` (kZeroTime or past: resume). Stored.
  virtual void pause(Consumer& consumer, WallNanos until) = 0;
  /// Back to `to`, or to the first message that is not acknowledged. @return where it starts now;
  /// 10204 where the deliver policy forbids it.
  virtual Result<StreamSeq> reset(Consumer& consumer, std::optional<StreamSeq> to) = 0;
  virtual Consumer* find(std::string_view stream, std::string_view consumer) = 0;
  /// In order of name.
  virtual void each(std::string_view stream, const std::function<void(Consumer&)>& visit) = 0;
  /// Like find(), each() and size(): without the hidden ones of mirrors and sources.
  virtual size_t count(std::string_view stream) const = 0;
  virtual size_t size() const = 0;
  /// On disk, not served; remove() takes them too.
  virtual const OfflineConsumers& offline(std::string_view stream) const = 0;
  /// Runs `done` when everything done so far to consumers and messages of `stream` is durable.
  virtual void when_durable(Stream& stream, std::move_only_function<void()> done) = 0;

  /// Clean stop: waiting pulls get `409 Server Shutdown`, state is handed to the store.
  virtual void shut_down() = 0;

  /// New limits of the account, out of `options`, whose other members are not looked at.
  virtual void set_limits(const ConsumersOptions& options) = 0;

  virtual void collect(MetricSink& sink) const = 0;
};

}  // namespace sluice
