#include "server/interest.h"

#include <algorithm>
#include <utility>

#include "subject/subject.h"

namespace sluice {

class InterestWatches::Handle : public InterestWatch {
 public:
  Handle(std::shared_ptr<InterestWatches*> home, std::shared_ptr<Watch> watch)
      : home_(std::move(home)), watch_(std::move(watch)) {}
  ~Handle() override {
    watch_->dropped = true;
    if (*home_ == nullptr) return;
    InterestWatches& home = **home_;
    auto entry = home.by_subject_.find(watch_->subject);
    std::erase(entry->second, watch_);
    if (entry->second.empty()) home.by_subject_.erase(entry);
    --home.count_;
  }

 private:
  std::shared_ptr<InterestWatches*> home_;
  std::shared_ptr<Watch> watch_;
};

InterestWatches::InterestWatches(Executor& executor, HasInterest has_interest)
    : executor_(executor),
      has_interest_(std::move(has_interest)),
      self_(std::make_shared<InterestWatches*>(this)) {}

InterestWatches::~InterestWatches() { *self_ = nullptr; }

std::unique_ptr<InterestWatch> InterestWatches::add(std::string_view subject,
                                                    std::string_view queue,
                                                    std::move_only_function<void(bool)> changed) {
  auto watch = std::make_shared<Watch>();
  watch->subject = subject;
  watch->queue = queue;
  watch->changed = std::move(changed);
  watch->interested = has_interest_(subject, queue);
  by_subject_[watch->subject].push_back(watch);
  ++count_;
  return std::make_unique<Handle>(self_, std::move(watch));
}

void InterestWatches::subscriptions_changed(std::string_view filter) {
  if (count_ == 0) return;
  if (!has_wildcards(filter)) {
    const auto entry = by_subject_.find(std::string(filter));
    if (entry == by_subject_.end()) return;
    for (const auto& watch : entry->second) mark(watch);
    return;
  }
  for (const auto& [subject, watches] : by_subject_) {
    if (!subject_matches(filter, subject)) continue;
    for (const auto& watch : watches) mark(watch);
  }
}

void InterestWatches::mark(const std::shared_ptr<Watch>& watch) {
  if (watch->dirty) return;
  watch->dirty = true;
  dirty_.push_back(watch);
  if (dirty_.size() > 1) return;
  executor_.post([self = self_] {
    if (*self != nullptr) (*self)->tell();
  });
}

void InterestWatches::tell() {
  // `changed` may add and drop watches, and subscriptions.
  const auto batch = std::exchange(dirty_, {});
  for (const auto& watch : batch) {
    watch->dirty = false;
    if (watch->dropped) continue;
    const bool now = has_interest_(watch->subject, watch->queue);
    if (now == watch->interested) continue;
    watch->interested = now;
    watch->changed(now);
  }
}

}  // namespace sluice
