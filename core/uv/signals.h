// Unix signals as callbacks of the loop.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "uv/loop.h"

namespace sluice {

/// Watches while it lives; the signals' default actions come back with its end. Loop thread only.
class Signals {
 public:
  /// `on_signal(number)` runs on the loop, once for each delivery (equal signals may merge).
  Signals(Loop& loop, std::initializer_list<int> numbers,
          std::move_only_function<void(int)> on_signal);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  struct Watch;
  std::unique_ptr<Watch> watch_;
};

}  // namespace sluice
