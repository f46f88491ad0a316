// Who waits to hear that a subject gains its first subscriber or loses its last.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bus/bus.h"
#include "io/executor.h"

namespace sluice {

/// Loop thread only. A change of the subscriptions only marks the watches it may touch; one posted
/// task then asks again for each, so a subscription that comes and goes within a round is not told.
class InterestWatches {
 public:
  using HasInterest = std::function<bool(std::string_view subject, std::string_view queue)>;

  InterestWatches(Executor& executor, HasInterest has_interest);
  ~InterestWatches();
  InterestWatches(const InterestWatches&) = delete;
  InterestWatches& operator=(const InterestWatches&) = delete;

  std::unique_ptr<InterestWatch> add(std::string_view subject, std::string_view queue,
                                     std::move_only_function<void(bool)> changed);
  /// A subscription to `filter` came or went.
  void subscriptions_changed(std::string_view filter);
  size_t size() const { return count_; }

 private:
  class Handle;
  struct Watch {
    std::string subject;
    std::string queue;
    std::move_only_function<void(bool)> changed;
    bool interested = false;
    bool dirty = false;
    bool dropped = false;
  };

  void mark(const std::shared_ptr<Watch>& watch);
  void tell();

  Executor& executor_;
  HasInterest has_interest_;
  std::unordered_map<std::string, std::vector<std::shared_ptr<Watch>>> by_subject_;
  std::vector<std::shared_ptr<Watch>> dirty_;
  size_t count_ = 0;
  std::shared_ptr<InterestWatches*> self_;  ///< null once destroyed; posted tasks and handles look
};

}  // namespace sluice
