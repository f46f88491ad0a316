// Where an adapter puts what it took in: a stream, with an answer when it is durable.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "adapters/dead_letter.h"
#include "base/error.h"
#include "base/time_format.h"
#include "client/stream_client.h"

namespace sluice {

/// A message an adapter wants stored. Views are for the call only.
struct IngestMessage {
  std::string_view subject;
  std::string_view headers;  ///< whole block or empty; the port adds Nats-Msg-Id to it
  std::string_view payload;
  std::string_view msg_id;   ///< deterministic: a redelivery carries the same one
  std::string_view lane;     ///< messages of one lane (one sender) are stored in the order offered
  std::string_view place = {};  ///< as DeadLetter::place, of the letter that it becomes when it is refused
};

enum class Offer : uint8_t { kAccepted, kFull };

/// The ack of a message that is durable, or why it is not stored.
using Stored = std::move_only_function<void(Result<PubAck>)>;

/// Bounded. kFull: nothing was taken, pause the source; `on_room` tells when to go on.
class IngestPort {
 public:
  virtual ~IngestPort() = default;
  /// `stored` runs once, later: success = durable in its stream (or a duplicate of one that is).
  /// Errors of the target are retried inside, in order, without end; `stored` gets an Error only when
  /// the port is stopped or the target refuses this message for good (then it is in the dead letters).
  virtual Offer offer(const IngestMessage& message, Stored stored) = 0;
  /// As offer(), into the dead-letter stream.
  virtual Offer dead_letter(const DeadLetter& letter, Stored stored) = 0;
  /// Runs each time the port has room again after kFull.
  virtual void on_room(std::move_only_function<void()> room) = 0;
  virtual size_t in_flight() const = 0;
};

}  // namespace sluice
