#include "uv/signals.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "uv/uv_handle.h"

namespace sluice {

struct Signals::Watch {
  std::move_only_function<void(int)> on_signal;
  std::vector<UvHandle<uv_signal_t>> handles;
};

Signals::Signals(Loop& loop, std::initializer_list<int> numbers,
                 std::move_only_function<void(int)> on_signal)
    : watch_(std::make_unique<Watch>()) {
  watch_->on_signal = std::move(on_signal);
  for (int number : numbers) {
    UvHandle<uv_signal_t> handle;
    SLUICE_CHECK(uv_signal_init(loop.raw(), handle.get()) == 0);
    handle.armed(watch_.get());
    SLUICE_CHECK(uv_signal_start(
                     handle.get(),
                     [](uv_signal_t* signal, int which) noexcept {
                       auto* watch = static_cast<Watch*>(signal->data);
                       if (watch != nullptr) watch->on_signal(which);
                     },
                     number) == 0);
    uv_unref(handle.handle());  // waiting for a signal alone does not keep the loop running
    watch_->handles.push_back(std::move(handle));
  }
}

Signals::~Signals() = default;

}  // namespace sluice
