// Publish and subscribe inside the process, within one account: all that streams, consumers and the
// API see of the server. server/router implements it; tests have a small fake (tests/bus/fake_bus.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "base/ticket.h"

namespace sluice {

/// A message on its way. All views are for the call only; who keeps something copies it.
struct Message {
  std::string_view subject;
  std::string_view reply;    ///< empty = none
  std::string_view headers;  ///< whole block "NATS/1.0…\r\n\r\n"; empty = none
  std::string_view payload;
};

class MessageTrace;

/// Who published. `connection_id` 0 = the process itself.
struct Origin {
  uint64_t connection_id = 0;
  MessageTrace* trace = nullptr;  ///< set when the publisher wants to know the message's way
};

class BusSubscription {
 public:
  virtual ~BusSubscription() = default;  ///< unsubscribes; safe inside its own handler
};

/// Watches whether anybody (a client, a link) listens on a subject.
class InterestWatch {
 public:
  virtual ~InterestWatch() = default;
};

using BusHandler = std::move_only_function<void(const Message&, const Origin&)>;

/// Loop thread only. Handlers are called synchronously inside publish(), in no stated order; a
/// publish from inside a handler is legal (depth bounded by the implementation).
class Bus {
 public:
  virtual ~Bus() = default;
  /// `subject` may hold wildcards and must be valid. `queue` empty = plain subscription.
  virtual std::unique_ptr<BusSubscription> subscribe(std::string_view subject,
                                                     std::string_view queue, BusHandler handler) = 0;
  /// The same, for a handler that tells origin.trace what it does: it is called for messages that
  /// are only traced, too, and must not act on those. Other handlers never see them.
  virtual std::unique_ptr<BusSubscription> subscribe_traced(std::string_view subject,
                                                            BusHandler handler) {
    return subscribe(subject, {}, std::move(handler));
  }
  /// Routes by message.subject. @return how many subscribers took it (queue groups count one).
  virtual size_t publish(const Message& message) = 0;
  /// Routes by `route`, but clients see message.subject: how a stored message goes to a consumer's
  /// deliver subject or to a pull's inbox. With `queue` non-empty only that group's members count.
  virtual size_t deliver(std::string_view route, std::string_view queue, const Message& message) = 0;
  /// Is there a subscriber for this literal subject? With `queue`: a member of that group.
  virtual bool has_interest(std::string_view subject, std::string_view queue) const = 0;
  /// Calls `changed(bool)` (posted, coalesced) whenever has_interest(subject, queue) flips.
  virtual std::unique_ptr<InterestWatch> watch_interest(
      std::string_view subject, std::string_view queue,
      std::move_only_function<void(bool)> changed) = 0;
  /// True while a subscriber reached by `route` has more bytes queued than its high watermark:
  /// whoever delivers in bulk (consumers) pauses and tries again in a later round.
  virtual bool congested(std::string_view route, std::string_view queue) const = 0;
  /// Runs `relieved` once, posted, when some congested subscriber has drained below its low
  /// watermark (not necessarily the caller's: look again). Dropping the ticket cancels.
  virtual Ticket call_when_relieved(std::move_only_function<void()> relieved) = 0;
};

}  // namespace sluice
