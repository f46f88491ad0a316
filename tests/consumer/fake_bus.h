// A bus for one test: wildcards, queue groups, interest watches (posted), congestion by hand.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bus/bus.h"
#include "io/executor.h"
#include "subject/subject.h"

namespace sluice::test {

class FakeBus final : public Bus {
 public:
  explicit FakeBus(Executor& executor) : executor_(executor) {}

  std::unique_ptr<BusSubscription> subscribe(std::string_view subject, std::string_view queue,
                                             BusHandler handler) override {
    auto entry = std::make_shared<Entry>(Entry{std::string(subject), std::string(queue), std::move(handler)});
    entries_.push_back(entry);
    tell_watches();
    return std::make_unique<Sub>(*this, entry);
  }
  size_t publish(const Message& message) override { return route(message.subject, {}, message); }
  size_t deliver(std::string_view subject, std::string_view queue, const Message& message) override {
    return route(subject, queue, message);
  }
  bool has_interest(std::string_view subject, std::string_view queue) const override {
    return std::any_of(entries_.begin(), entries_.end(), [&](const auto& e) { return takes(*e, subject, queue); });
  }
  std::unique_ptr<InterestWatch> watch_interest(std::string_view subject, std::string_view queue,
                                                std::move_only_function<void(bool)> changed) override {
    auto watch = std::make_shared<Watch>(
        Watch{std::string(subject), std::string(queue), has_interest(subject, queue), std::move(changed)});
    watches_.push_back(watch);
    return std::make_unique<WatchHandle>(*this, watch);
  }
  bool congested(std::string_view route, std::string_view) const override { return congested_.contains(std::string(route)); }
  Ticket call_when_relieved(std::move_only_function<void()> relieved) override {
    const uint64_t id = ++last_relief_;
    reliefs_[id] = std::move(relieved);
    return Ticket([this, id] { reliefs_.erase(id); });
  }

  void congest(const std::string& route) { congested_.insert(route); }
  void relieve(const std::string& route) {
    congested_.erase(route);
    auto all = std::move(reliefs_);
    reliefs_.clear();
    for (auto& [id, run] : all) executor_.post(std::move(run));
  }

 private:
  struct Entry {
    std::string subject, queue;
    BusHandler handler;
  };
  struct Watch {
    std::string subject, queue;
    bool last;
    std::move_only_function<void(bool)> changed;
  };
  class Sub final : public BusSubscription {
   public:
    Sub(FakeBus& bus, std::shared_ptr<Entry> entry) : bus_(bus), entry_(std::move(entry)) {}
    ~Sub() override {
      bus_.entries_.remove(entry_);
      bus_.tell_watches();
    }

   private:
    FakeBus& bus_;
    std::shared_ptr<Entry> entry_;
  };
  class WatchHandle final : public InterestWatch {
   public:
    WatchHandle(FakeBus& bus, std::shared_ptr<Watch> watch) : bus_(bus), watch_(std::move(watch)) {}
    ~WatchHandle() override { bus_.watches_.remove(watch_); }

   private:
    FakeBus& bus_;
    std::shared_ptr<Watch> watch_;
  };

  static bool takes(const Entry& e, std::string_view subject, std::string_view queue) {
    return subject_matches(e.subject, subject) && (queue.empty() || e.queue == queue);
  }
  size_t route(std::string_view subject, std::string_view queue, const Message& message) {
    std::vector<std::shared_ptr<Entry>> takers;
    std::set<std::string> groups;
    for (const auto& e : entries_) {
      if (takes(*e, subject, queue) && (e->queue.empty() || groups.insert(e->queue).second)) takers.push_back(e);
    }
    for (const auto& e : takers) e->handler(message, Origin{});
    return takers.size();
  }
  void tell_watches() {
    for (const auto& watch : watches_) {
      executor_.post([this, weak = std::weak_ptr<Watch>(watch)] {
        const auto w = weak.lock();
        if (!w) return;
        const bool now = has_interest(w->subject, w->queue);
        if (now == w->last) return;
        w->last = now;
        w->changed(now);
      });
    }
  }

  Executor& executor_;
  std::list<std::shared_ptr<Entry>> entries_;
  std::list<std::shared_ptr<Watch>> watches_;
  std::set<std::string> congested_;
  std::map<uint64_t, std::move_only_function<void()>> reliefs_;
  uint64_t last_relief_ = 0;
};

}  // namespace sluice::test
