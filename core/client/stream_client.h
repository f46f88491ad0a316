// JetStream as our own programs use it, written once on NatsLink: the same calls reach the embedded core
// and any NATS JetStream server.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/ticket.h"
#include "base/time_format.h"
#include "client/nats_link.h"
#include "io/env.h"

namespace sluice {

struct PubAck {
  std::string stream;
  StreamSeq seq;
  bool duplicate = false;
};

enum class StreamRetention : uint8_t { kLimits, kInterest, kWorkQueue };

/// Options of a stream to make; JSON fields of the same names. Zero/empty = the server's default.
struct StreamSpec {
  std::string name{};
  std::string description{};
  std::vector<std::string> subjects{};
  StreamRetention retention = StreamRetention::kLimits;
  int64_t max_msgs = -1;
  int64_t max_bytes = -1;
  std::chrono::nanoseconds max_age{0};
  int64_t max_msgs_per_subject = -1;
  std::chrono::nanoseconds duplicate_window{0};
  bool discard_new = false;
  bool memory = false;
  bool allow_direct = true;
  bool allow_atomic = false;       ///< atomic batches (ADR-50)
  bool allow_rollup_hdrs = false;
  int replicas = 0;  ///< 0 = as the client was told
};

struct StreamFigures {
  std::string name;
  std::vector<std::string> subjects;
  StreamRetention retention = StreamRetention::kLimits;
  bool allow_atomic = false;
  bool allow_rollup_hdrs = false;
  WallNanos created = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  StreamSeq first_seq;
  StreamSeq last_seq;
};

struct ConsumerSpec {
  std::string stream{};
  std::string durable{};  ///< empty = ephemeral, named by us
  std::string filter_subject{};
  StreamSeq start_seq{};  ///< zero = deliver all
  bool ack_all = false;   ///< an ack covers everything before it; else explicit
  bool ack_none = false;  ///< no acks at all: ack_wait and max_ack_pending are left out
  std::chrono::nanoseconds ack_wait{30'000'000'000};
  std::chrono::nanoseconds inactive_threshold{0};
  int64_t max_ack_pending = 1000;
};

/// A message of a consumer. Views are for the call only.
struct ConsumedMessage {
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
  std::string_view ack_subject;
  StreamSeq stream_seq;
  ConsumerSeq consumer_seq;
  uint64_t deliveries = 1;
  uint64_t pending = 0;  ///< behind this one
  WallNanos time = 0;
};

struct StoredCopy {
  StreamSeq seq;
  std::string subject;
  std::string headers;
  std::string payload;
  WallNanos time = 0;
};

/// What a pull subscription asks for ahead.
struct PullWindow {
  PullWindow(size_t most_messages, size_t most_bytes = 0) : messages(most_messages), bytes(most_bytes) {}  // NOLINT
  size_t messages;
  size_t bytes;  ///< 0 = however many that many messages have; one message comes whatever its size
};

/// A pull subscription that keeps requests open: `window` messages in flight. Survives reconnects.
class PullSubscription {
 public:
  virtual ~PullSubscription() = default;
  /// No further requests until resume(); messages on their way still arrive.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

/// Loop thread only; `done`s come once, later, on the loop. Errors carry the API's err_code.
class StreamClient {
 public:
  virtual ~StreamClient() = default;

  /// Lives on `link`, which must outlive it. `api_prefix` is "$JS.API" or "$JS.<domain>.API";
  /// `replicas` those of streams made without a number of their own.
  static std::unique_ptr<StreamClient> make(Env& env, NatsLink& link,
                                            std::string api_prefix = "$JS.API", int replicas = 1);

  virtual NatsLink& link() = 0;

  /// Publishes and waits for the PubAck. Order of calls is the order on the wire. kFull: refused at
  /// once, `done` not called again: `done` always runs later, once. Timeout 5 s by default.
  virtual Ticket publish(const LinkMessage& message, std::chrono::nanoseconds timeout,
                         std::move_only_function<void(Result<PubAck>)> done) = 0;

  virtual Ticket create_stream(const StreamSpec& spec,
                               std::move_only_function<void(Result<StreamFigures>)> done) = 0;
  virtual Ticket stream_info(std::string_view stream,
                             std::move_only_function<void(Result<StreamFigures>)> done) = 0;
  /// The last message of the stream on any subject matching `filter`; kNotFound (10037).
  virtual Ticket last_message(std::string_view stream, std::string_view filter,
                              std::move_only_function<void(Result<StoredCopy>)> done) = 0;
  virtual Ticket get_message(std::string_view stream, StreamSeq seq,
                             std::move_only_function<void(Result<StoredCopy>)> done) = 0;

  /// Any other call of the API: `verb` as "STREAM.MSG.DELETE", `target` the tokens behind it ("ORDERS",
  /// "ORDERS.billing"; empty = none). `done` gets the answer's JSON, or the error in it.
  virtual Ticket api(std::string_view verb, std::string_view target, std::string_view body,
                     std::move_only_function<void(Result<std::string>)> done) = 0;

  virtual Ticket create_consumer(const ConsumerSpec& spec,
                                 std::move_only_function<void(Result<std::string>)> done_with_name) = 0;
  virtual Ticket delete_consumer(std::string_view stream, std::string_view consumer,
                                 std::move_only_function<void(Status)> done) = 0;
  /// Pulls from an existing consumer. `handler` for each message; `trouble` for statuses that need the
  /// owner (consumer deleted, missed heartbeats twice in a row): the subscription is then dead.
  virtual std::unique_ptr<PullSubscription> pull(
      std::string_view stream, std::string_view consumer, PullWindow window,
      std::move_only_function<void(const ConsumedMessage&)> handler,
      std::move_only_function<void(const Error&)> trouble) = 0;
  /// Acks without waiting, or (done given) waits until the server has it on disk.
  virtual void ack(std::string_view ack_subject) = 0;
  virtual Ticket ack_sync(std::string_view ack_subject, std::move_only_function<void(Status)> done) = 0;
};

/// NatsLink on the embedded core's bus.
class Bus;
std::unique_ptr<NatsLink> make_bus_link(Env& env, Bus& bus);

}  // namespace sluice
