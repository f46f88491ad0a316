// Which waiting pull a consumer with a priority policy may serve next (ADR-42).
//
// overflow: a request with thresholds waits until enough is pending. prioritized: the queue is in order of
// priority. pinned_client: one client at a time; it names its pin (Nats-Pin-Id) in every pull, the others
// stand by. Unpinned → first request without an id is served → pinned(id, timer) → no pull with that id for
// priority_timeout, or UNPIN → unpinned.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time_format.h"
#include "consumer/consumer_config.h"
#include "io/env.h"

namespace sluice {

/// What a pull says about its group.
struct GroupClaim {
  std::string group;
  int64_t min_pending = 0;
  int64_t min_ack_pending = 0;
  std::string id;        ///< the pin it believes to hold
  int64_t priority = 0;  ///< 0 (first) to 9
};

struct PriorityHost {
  std::function<void(std::string_view group, std::string_view id)> pinned;
  std::function<void(std::string_view group, const char* reason)> unpinned;
};

/// Loop thread only. A pin does not survive a restart.
class PriorityGroup {
 public:
  PriorityGroup(Env& env, const ConsumerConfig& config, PriorityHost host);

  /// The text after "400 Bad Request - ".
  Status check(const GroupClaim& claim) const;
  /// The claim names a pin that is not the current one: 423 Nats-Pin-Id mismatch.
  bool is_stale(const GroupClaim& claim) const { return !id_.empty() && !claim.id.empty() && claim.id != id_; }

  enum class Turn : uint8_t { kServe, kStandBy, kWrongPin };
  /// May the claim be served? `pending` counts the message on offer, `ack_pending` does not.
  Turn turn(const GroupClaim& claim, uint64_t pending, uint64_t ack_pending) const;
  /// The claim's client is about to get a message. @return the pin it gets; empty = none.
  std::string_view serve(const GroupClaim& claim);
  /// A pull came in.
  void heard(const GroupClaim& claim);
  /// 10160 when the consumer has no such group.
  Status unpin(std::string_view group);
  /// The configuration changed.
  void reconfigure();

  bool is_pinned() const { return !id_.empty(); }
  const std::string& id() const { return id_; }
  WallNanos pinned_at() const { return pinned_at_; }

 private:
  bool knows(std::string_view group) const;
  void drop_pin(const char* reason);

  Env& env_;
  const ConsumerConfig& config_;
  PriorityHost host_;
  std::string id_;
  std::string group_;  ///< of the pin
  WallNanos pinned_at_ = kZeroTime;
  std::unique_ptr<Timer> timer_;
};

}  // namespace sluice
