// A bus of one page: subjects with wildcards, queue groups (first member takes), nothing else.
#pragma once

#include <algorithm>
#include <list>
#include <string>
#include <vector>

#include "bus/bus.h"

namespace sluice {

inline bool fake_match(std::string_view filter, std::string_view subject) {
  for (;;) {
    const size_t f = filter.find('.'), s = subject.find('.');
    const std::string_view want = filter.substr(0, f), have = subject.substr(0, s);
    if (want == ">") return true;
    if (want != "*" && want != have) return false;
    if (f == std::string_view::npos || s == std::string_view::npos) return f == s;
    filter.remove_prefix(f + 1);
    subject.remove_prefix(s + 1);
  }
}

class FakeBus final : public Bus {
 public:
  std::unique_ptr<BusSubscription> subscribe(std::string_view subject, std::string_view queue,
                                             BusHandler handler) override {
    auto entry =
        std::make_shared<Entry>(std::string(subject), std::string(queue), std::move(handler));
    entries_.push_back(entry);
    return std::make_unique<Sub>(entries_, std::move(entry));
  }
  size_t publish(const Message& message) override { return deliver(message.subject, "", message); }
  size_t deliver(std::string_view route, std::string_view, const Message& message) override {
    std::vector<std::shared_ptr<Entry>> takers;
    std::vector<std::string> queues;
    for (const auto& entry : entries_) {
      if (!fake_match(entry->subject, route)) continue;
      if (!entry->queue.empty()) {
        if (std::find(queues.begin(), queues.end(), entry->queue) != queues.end()) continue;
        queues.push_back(entry->queue);
      }
      takers.push_back(entry);
    }
    for (const auto& entry : takers) entry->handler(message, Origin{});
    return takers.size();
  }
  bool has_interest(std::string_view subject, std::string_view) const override {
    for (const auto& entry : entries_)
      if (fake_match(entry->subject, subject)) return true;
    return false;
  }
  std::unique_ptr<InterestWatch> watch_interest(std::string_view, std::string_view,
                                                std::move_only_function<void(bool)>) override {
    return nullptr;
  }
  bool congested(std::string_view, std::string_view) const override { return false; }
  Ticket call_when_relieved(std::move_only_function<void()>) override { return {}; }

 private:
  struct Entry {
    std::string subject, queue;
    BusHandler handler;
  };
  class Sub final : public BusSubscription {
   public:
    Sub(std::list<std::shared_ptr<Entry>>& entries, std::shared_ptr<Entry> entry)
        : entries_(entries), entry_(std::move(entry)) {}
    ~Sub() override { entries_.remove(entry_); }

   private:
    std::list<std::shared_ptr<Entry>>& entries_;
    std::shared_ptr<Entry> entry_;
  };
  std::list<std::shared_ptr<Entry>> entries_;
};

}  // namespace sluice
