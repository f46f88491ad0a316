// A thread for calls of a library that do nothing but wait. The loop hands them over and hears of the end.
#pragma once

#include <functional>
#include <memory>

#include "io/env.h"

namespace sluice {

/// Tasks run one after the other, in the order given. Loop thread only.
class WaitingThread {
 public:
  explicit WaitingThread(Env& env);
  /// Waits for nothing: what was given still runs there, what would be told to the loop is dropped.
  ~WaitingThread();
  WaitingThread(const WaitingThread&) = delete;
  WaitingThread& operator=(const WaitingThread&) = delete;

  /// `task` runs there and returns what then runs on the loop, unless this is gone by then. `task` owns all it
  /// touches; what it returns may be destroyed there, so it holds no one's callbacks.
  void run(std::move_only_function<std::move_only_function<void()>()> task);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
