// Subjects to subscribers, within one account: the server's side of the bus.
//
// publish() looks the subject up once (match_cache.h), hands the message to every plain subscriber
// and to one random member of each queue group. What subscribers do with it may change the
// subscriptions or publish again: a removed subscription is only marked and freed when the
// outermost delivery has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "bus/bus.h"
#include "io/executor.h"
#include "io/random.h"
#include "server/congestion.h"
#include "server/interest.h"
#include "server/match_cache.h"
#include "server/subscription.h"

namespace sluice {

/// How subjects were found so far.
struct InterestStats {
  uint64_t inserts = 0;
  uint64_t removes = 0;
  uint64_t hits = 0;
  uint64_t misses = 0;
  size_t remembered = 0;  ///< subjects whose subscribers are remembered…
  size_t max_fanout = 0;  ///< …and how many those are
  double avg_fanout = 0;
};

/// Loop thread only. Outlives its subscriptions (checked); watches and tickets may outlive it.
class Router : public Bus {
 public:
  /// A handler that publishes is nested this deep at most; deeper messages are dropped and counted.
  static constexpr size_t kMaxDepth = 64;
  /// Imports between accounts are followed this often back to the same one when interest is asked.
  static constexpr size_t kMaxInterestDepth = 8;

  Router(Executor& executor, Random& random, Congestion& congestion);
  ~Router() override;
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // -- Bus
  std::unique_ptr<BusSubscription> subscribe(std::string_view subject, std::string_view queue,
                                             BusHandler handler) override;
  std::unique_ptr<BusSubscription> subscribe_traced(std::string_view subject,
                                                    BusHandler handler) override;
  size_t publish(const Message& message) override { return publish(message, Origin{}); }
  size_t deliver(std::string_view route, std::string_view queue, const Message& message) override {
    return deliver_to(route, queue, message, Origin{});
  }
  bool has_interest(std::string_view subject, std::string_view queue) const override;
  std::unique_ptr<InterestWatch> watch_interest(
      std::string_view subject, std::string_view queue,
      std::move_only_function<void(bool)> changed) override;
  bool congested(std::string_view route, std::string_view queue) const override;
  Ticket call_when_relieved(std::move_only_function<void()> relieved) override;

  // -- for connections
  size_t publish(const Message& message, const Origin& origin) {
    return deliver_to(message.subject, {}, message, origin);
  }
  /// Takes the subscription in. @return nullptr when its subject is not one that can be subscribed
  /// to.
  Subscription* add(std::unique_ptr<Subscription> subscription);
  /// Nothing reaches it any more. Not twice.
  void remove(Subscription& subscription);
  /// A plain subscription of that connection which `subject` reaches; nullptr = none.
  Subscription* find_plain(std::string_view subject, uint64_t connection_id) const;

  // -- for links to other servers
  /// Routes by `route` to plain subscribers, and to the queue groups that the other server named:
  /// those of other names have been served there.
  size_t publish_from_link(std::string_view route, std::span<const std::string_view> queues,
                           const Message& message, const Origin& origin);
  /// The observer must stop observing before it goes.
  void observe(SubscriptionObserver& observer) { observers_.push_back(&observer); }
  void stop_observing(SubscriptionObserver& observer) { std::erase(observers_, &observer); }
  /// What the delivery under way is routed by; the message's subject may be another one. Inside
  /// Subscription::take() only.
  std::string_view route() const { return route_; }
  /// How deep the delivery under way is nested.
  size_t depth() const { return depth_; }
  /// on_delivered() will be called once at the end of the delivery under way.
  void finish_later(DeliveryEnd& end) { ends_.push_back({depth_, &end}); }
  /// It goes away.
  void forget(DeliveryEnd& end);

  size_t subscription_count() const { return tree_.size(); }
  /// Every subscription, in no stated order.
  template <class F>
  void each_subscription(F&& visit) const {
    tree_.each([&visit](const Subscription* subscription) { visit(*subscription); });
  }
  uint64_t cache_hits() const { return cache_.hits(); }
  uint64_t cache_misses() const { return cache_.misses(); }
  uint64_t too_deep_count() const { return too_deep_count_; }
  InterestStats interest_stats() const;

 private:
  class Busy;
  class InternalSubscription;
  class InternalHandle;

  class Routing;
  struct End {
    size_t depth;
    DeliveryEnd* taker;
  };

  std::unique_ptr<BusSubscription> add_internal(std::unique_ptr<Subscription> made);
  size_t deliver_to(std::string_view route, std::string_view only_queue, const Message& message,
                    const Origin& origin);
  size_t hand_to_plain(const MatchList& list, const Message& message, const Origin& origin);
  size_t hand_to_link(const MatchList::Group& group, const Message& message, const Origin& origin);
  size_t hand_to_group(const MatchList::Group& group, const Message& message, const Origin& origin);
  MatchList& matches(std::string_view subject) const;
  void end_of_delivery();

  Random& random_;
  Congestion& congestion_;
  mutable SubscriptionTree tree_;  ///< mutable: a look-up fills the cache
  mutable MatchCache cache_;
  InterestWatches watches_;
  std::vector<std::unique_ptr<Subscription>> removed_;  ///< freed when depth_ is back at 0
  std::vector<SubscriptionObserver*> observers_;
  std::vector<End> ends_;
  std::string_view route_;
  size_t depth_ = 0;
  mutable size_t interest_depth_ = 0;
  uint64_t too_deep_count_ = 0;
  uint64_t inserts_ = 0;
  uint64_t removes_ = 0;
};

}  // namespace sluice
