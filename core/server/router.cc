#include "server/router.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "bus/message_trace.h"

namespace sluice {

/// While one exists, lists and subscriptions stay in memory.
class Router::Busy {
 public:
  Busy(Router& router, MatchList& list) : router_(router), list_(list) {
    ++router_.depth_;
    ++list_.users;
  }
  ~Busy() {
    --list_.users;
    if (--router_.depth_ == 0) router_.end_of_delivery();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  Router& router_;
  MatchList& list_;
};

/// One delivery: what it is routed by, and who wants to hear of its end.
class Router::Routing {
 public:
  Routing(Router& router, std::string_view route)
      : router_(router), outer_(std::exchange(router.route_, route)) {}
  ~Routing() {
    while (!router_.ends_.empty() && router_.ends_.back().depth >= router_.depth_) {
      DeliveryEnd* taker = router_.ends_.back().taker;
      router_.ends_.pop_back();
      if (taker != nullptr) taker->on_delivered();
    }
    router_.route_ = outer_;
  }
  Routing(const Routing&) = delete;
  Routing& operator=(const Routing&) = delete;

 private:
  Router& router_;
  const std::string_view outer_;
};

class Router::InternalSubscription : public Subscription {
 public:
  enum class Traces : bool { kIgnored, kTold };

  InternalSubscription(std::string_view subject, std::string_view queue, BusHandler handler,
                       Traces traces)
      : Subscription(0, subject, queue), handler_(std::move(handler)), traces_(traces) {}
  bool take(const Message& message, const Origin& origin) override {
    const bool only_traced = origin.trace != nullptr && origin.trace->only();
    if (!only_traced || traces_ == Traces::kTold) handler_(message, origin);
    return true;
  }
  bool congested() const override { return false; }

 private:
  BusHandler handler_;
  const Traces traces_;
};

class Router::InternalHandle : public BusSubscription {
 public:
  InternalHandle(Router& router, Subscription& subscription)
      : router_(router), subscription_(subscription) {}
  ~InternalHandle() override { router_.remove(subscription_); }

 private:
  Router& router_;
  Subscription& subscription_;
};

Router::Router(Executor& executor, Random& random, Congestion& congestion)
    : random_(random),
      congestion_(congestion),
      watches_(executor, [this](std::string_view subject,
                                std::string_view queue) { return has_interest(subject, queue); }) {}

Router::~Router() {
  SLUICE_CHECK(depth_ == 0);
  SLUICE_CHECK(tree_.empty());
}

std::unique_ptr<BusSubscription> Router::subscribe(std::string_view subject, std::string_view queue,
                                                   BusHandler handler) {
  return add_internal(std::make_unique<InternalSubscription>(
      subject, queue, std::move(handler), InternalSubscription::Traces::kIgnored));
}

std::unique_ptr<BusSubscription> Router::subscribe_traced(std::string_view subject,
                                                          BusHandler handler) {
  return add_internal(std::make_unique<InternalSubscription>(
      subject, std::string_view(), std::move(handler), InternalSubscription::Traces::kTold));
}

std::unique_ptr<BusSubscription> Router::add_internal(std::unique_ptr<Subscription> made) {
  Subscription* added = add(std::move(made));
  SLUICE_CHECK(added != nullptr);
  return std::make_unique<InternalHandle>(*this, *added);
}

Subscription* Router::add(std::unique_ptr<Subscription> subscription) {
  if (!tree_.insert(subscription->subject(), subscription.get())) return nullptr;
  Subscription* added = subscription.release();  // the tree's from here on
  ++inserts_;
  watches_.subscriptions_changed(added->subject());
  for (SubscriptionObserver* observer : observers_) observer->on_added(*added);
  return added;
}

void Router::remove(Subscription& subscription) {
  SLUICE_CHECK(!subscription.removed_);
  SLUICE_CHECK(tree_.erase(subscription.subject(), &subscription));
  subscription.removed_ = true;
  ++removes_;
  watches_.subscriptions_changed(subscription.subject());
  for (SubscriptionObserver* observer : observers_) observer->on_removed(subscription);
  removed_.emplace_back(&subscription);
  if (depth_ == 0) end_of_delivery();
}

void Router::end_of_delivery() {
  // A handler's captures may hold another subscription, whose end removes that one too.
  while (!removed_.empty()) {
    const auto gone = std::exchange(removed_, {});
  }
  cache_.release_retired();
}

MatchList& Router::matches(std::string_view subject) const {
  if (depth_ == 0) cache_.release_retired();
  return cache_.find(subject, tree_);
}

size_t Router::deliver_to(std::string_view route, std::string_view only_queue,
                          const Message& message, const Origin& origin) {
  if (depth_ >= kMaxDepth) {
    ++too_deep_count_;
    return 0;
  }
  MatchList& list = matches(route);
  if (list.empty()) return 0;
  const Busy busy(*this, list);
  const Routing routing(*this, route);
  if (!only_queue.empty()) {
    const MatchList::Group* group = list.group(only_queue);
    return group == nullptr ? 0 : hand_to_group(*group, message, origin);
  }
  size_t taken = hand_to_plain(list, message, origin);
  for (size_t i = 0; i < list.group_count; ++i) {
    taken += hand_to_group(list.groups[i], message, origin);
  }
  return taken;
}

size_t Router::publish_from_link(std::string_view route, std::span<const std::string_view> queues,
                                 const Message& message, const Origin& origin) {
  MatchList& list = matches(route);
  if (list.empty()) return 0;
  const Busy busy(*this, list);
  const Routing routing(*this, route);
  size_t taken = hand_to_plain(list, message, origin);
  for (const std::string_view queue : queues) {
    const MatchList::Group* group = list.group(queue);
    if (group != nullptr) taken += hand_to_group(*group, message, origin);
  }
  return taken;
}

void Router::forget(DeliveryEnd& end) {
  for (End& one : ends_) {
    if (one.taker == &end) one.taker = nullptr;
  }
}

size_t Router::hand_to_plain(const MatchList& list, const Message& message, const Origin& origin) {
  if (Subscription* only = list.only) return !only->removed() && only->take(message, origin) ? 1 : 0;
  size_t taken = 0;
  for (Subscription* subscription : list.plain) {
    if (!subscription->removed() && subscription->take(message, origin)) ++taken;
  }
  return taken;
}

size_t Router::hand_to_group(const MatchList::Group& group, const Message& message,
                             const Origin& origin) {
  const size_t count = group.members.size();
  size_t at = count == 1 ? 0 : random_.below(count);
  bool linked = false;
  for (size_t tried = 0; tried < count; ++tried) {
    Subscription& member = *group.members[at];
    if (member.remote_weight() != 0) {
      linked = true;
    } else if (!member.removed() && member.take(message, origin)) {
      return 1;
    }
    if (++at == count) at = 0;
  }
  return linked ? hand_to_link(group, message, origin) : 0;
}

/// Nobody here takes it: one of the servers that have members, each as likely as it has many.
size_t Router::hand_to_link(const MatchList::Group& group, const Message& message,
                            const Origin& origin) {
  uint64_t total = 0;
  for (const Subscription* member : group.members) total += member->remote_weight();
  uint64_t drawn = random_.below(total);
  size_t at = 0;
  while (drawn >= group.members[at]->remote_weight()) drawn -= group.members[at++]->remote_weight();
  for (size_t tried = 0; tried < group.members.size(); ++tried) {
    Subscription& member = *group.members[at];
    if (member.remote_weight() != 0 && !member.removed() && member.take(message, origin)) return 1;
    if (++at == group.members.size()) at = 0;
  }
  return 0;
}

bool Router::has_interest(std::string_view subject, std::string_view queue) const {
  const MatchList& list = matches(subject);
  if (!queue.empty()) return list.group(queue) != nullptr;
  if (!list.conditional) return !list.empty();
  if (list.group_count != 0) return true;
  // Other accounts are asked, and they may ask this one: the list can change meanwhile.
  if (interest_depth_ >= kMaxInterestDepth) return false;
  ++interest_depth_;
  const std::vector<Subscription*> plain = list.plain;
  const bool wanted = std::ranges::any_of(
      plain, [subject](const Subscription* one) { return one->interested(subject); });
  --interest_depth_;
  return wanted;
}

Subscription* Router::find_plain(std::string_view subject, uint64_t connection_id) const {
  for (Subscription* subscription : matches(subject).plain) {
    if (subscription->connection_id() == connection_id) return subscription;
  }
  return nullptr;
}

std::unique_ptr<InterestWatch> Router::watch_interest(std::string_view subject,
                                                      std::string_view queue,
                                                      std::move_only_function<void(bool)> changed) {
  return watches_.add(subject, queue, std::move(changed));
}

bool Router::congested(std::string_view route, std::string_view queue) const {
  if (!congestion_.any()) return false;
  const MatchList& list = matches(route);
  if (queue.empty()) {
    for (const Subscription* subscription : list.plain) {
      if (subscription->congested()) return true;
    }
  }
  for (size_t i = 0; i < list.group_count; ++i) {
    const MatchList::Group& group = list.groups[i];
    if (!queue.empty() && group.name != queue) continue;
    for (const Subscription* subscription : group.members) {
      if (subscription->congested()) return true;
    }
  }
  return false;
}

Ticket Router::call_when_relieved(std::move_only_function<void()> relieved) {
  return congestion_.call_when_relieved(std::move(relieved));
}

InterestStats Router::interest_stats() const {
  const MatchCache::Fanout fanout = cache_.fanout();
  return {.inserts = inserts_,
          .removes = removes_,
          .hits = cache_.hits(),
          .misses = cache_.misses(),
          .remembered = fanout.subjects,
          .max_fanout = fanout.most,
          .avg_fanout = fanout.mean};
}

}  // namespace sluice
