#include "server/router.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

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

class Router::InternalSubscription : public Subscription {
 public:
  InternalSubscription(std::string_view subject, std::string_view queue, BusHandler handler)
      : Subscription(0, subject, queue), handler_(std::move(handler)) {}
  bool take(const Message& message, const Origin& origin) override {
    handler_(message, origin);
    return true;
  }
  bool congested() const override { return false; }

 private:
  BusHandler handler_;
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
  Subscription* added =
      add(std::make_unique<InternalSubscription>(subject, queue, std::move(handler)));
  SLUICE_CHECK(added != nullptr);
  return std::make_unique<InternalHandle>(*this, *added);
}

Subscription* Router::add(std::unique_ptr<Subscription> subscription) {
  if (!tree_.insert(subscription->subject(), subscription.get())) return nullptr;
  Subscription* added = subscription.release();  // the tree's from here on
  watches_.subscriptions_changed(added->subject());
  return added;
}

void Router::remove(Subscription& subscription) {
  SLUICE_CHECK(!subscription.removed_);
  SLUICE_CHECK(tree_.erase(subscription.subject(), &subscription));
  subscription.removed_ = true;
  watches_.subscriptions_changed(subscription.subject());
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
  size_t taken = 0;
  if (!only_queue.empty()) {
    const MatchList::Group* group = list.group(only_queue);
    return group == nullptr ? 0 : hand_to_group(*group, message, origin);
  }
  for (Subscription* subscription : list.plain) {
    if (!subscription->removed() && subscription->take(message, origin)) ++taken;
  }
  for (size_t i = 0; i < list.group_count; ++i) {
    taken += hand_to_group(list.groups[i], message, origin);
  }
  return taken;
}

size_t Router::hand_to_group(const MatchList::Group& group, const Message& message,
                             const Origin& origin) {
  const size_t count = group.members.size();
  size_t at = count == 1 ? 0 : random_.below(count);
  for (size_t tried = 0; tried < count; ++tried) {
    Subscription& member = *group.members[at];
    if (!member.removed() && member.take(message, origin)) return 1;
    if (++at == count) at = 0;
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

}  // namespace sluice
