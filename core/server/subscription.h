// One interest in a subject: a client's SUB or a subscription of the process itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "bus/bus.h"

namespace sluice {

/// Owned by the Router; lives until it was removed and no message is on its way through the router.
/// Loop thread only.
class Subscription {
 public:
  Subscription(uint64_t connection_id, std::string_view subject, std::string_view queue)
      : connection_id_(connection_id), subject_(subject), queue_(queue) {}
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;
  virtual ~Subscription() = default;

  /// Hands the message over. @return false when it can't be taken (so another member of the queue
  /// group gets it). May remove this or any other subscription.
  virtual bool take(const Message& message, const Origin& origin) = 0;
  /// More is waiting for the subscriber than it should.
  virtual bool congested() const = 0;
  /// Its interest depends on others (an import): interested() must be asked.
  virtual bool conditional() const { return false; }
  /// Whether somebody wants a message on this literal subject.
  virtual bool interested(std::string_view /*subject*/) const { return true; }

  /// 0 = the process itself.
  uint64_t connection_id() const { return connection_id_; }
  const std::string& subject() const { return subject_; }
  const std::string& queue() const { return queue_; }
  /// How many subscribers stand behind it at the far end of a link to another server; 0 = it is
  /// one of ours. Members of a queue group here go before those there.
  uint32_t remote_weight() const { return remote_weight_; }
  /// Nobody wants it any more; its owner may be gone.
  bool removed() const { return removed_; }

 protected:
  void set_remote_weight(uint32_t weight) { remote_weight_ = weight; }

 private:
  friend class Router;
  const uint64_t connection_id_;
  uint32_t remote_weight_ = 0;
  bool removed_ = false;
  const std::string subject_;
  const std::string queue_;
};

/// Hears of every subscription of a router.
class SubscriptionObserver {
 public:
  virtual ~SubscriptionObserver() = default;
  /// The subscription is in the router. Must not change its subscriptions.
  virtual void on_added(const Subscription& subscription) = 0;
  /// It has just left.
  virtual void on_removed(const Subscription& subscription) = 0;
};

/// A subscriber that wants to see all of its subscriptions that a message reaches before it acts.
class DeliveryEnd {
 public:
  virtual ~DeliveryEnd() = default;
  /// The message has been handed to everybody; its views are still good.
  virtual void on_delivered() = 0;
};

}  // namespace sluice
