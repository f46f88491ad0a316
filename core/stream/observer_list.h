// The observers of one stream; they may leave (and come) while they are being told something.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "stream/observer.h"

namespace sluice {

/// Loop thread only. Does not own the observers.
class ObserverList {
 public:
  bool empty() const { return live_ == 0; }
  size_t size() const { return live_; }

  void add(StreamObserver& observer) {
    list_.push_back(&observer);
    ++live_;
  }
  void remove(StreamObserver& observer) {
    auto found = std::find(list_.begin(), list_.end(), &observer);
    if (found == list_.end()) return;
    *found = nullptr;
    --live_;
    if (telling_ == 0) compact();
  }

  /// Observers added by `tell` are told too.
  template <class F>
  void each(F&& tell) {
    ++telling_;
    for (size_t i = 0; i < list_.size(); ++i)
      if (list_[i] != nullptr) tell(*list_[i]);
    if (--telling_ == 0 && list_.size() != live_) compact();
  }
  template <class F>
  bool any(F&& asks) const {
    return std::any_of(list_.begin(), list_.end(),
                       [&asks](const StreamObserver* o) { return o != nullptr && asks(*o); });
  }

 private:
  void compact() { std::erase(list_, nullptr); }

  std::vector<StreamObserver*> list_;
  size_t live_ = 0;
  int telling_ = 0;
};

}  // namespace sluice
