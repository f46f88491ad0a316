#include "uv/timers.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "uv/uv_handle.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;
/// Longer waits are cut into pieces of this size; keeps additions away from overflow.
constexpr nanoseconds kLongestWait = std::chrono::hours(24 * 365);

/// A timer of this thread is firing. libuv runs all due timers in one pass before it looks at sockets, those that are
/// started meanwhile too: work in slices that starts its timer anew with no delay would never let the loop go on.
thread_local bool firing = false;

class UvTimer final : public Timer {
 public:
  UvTimer(Loop& loop, std::move_only_function<void()> fire) : loop_(loop), fire_(std::move(fire)) {
    SLUICE_CHECK(uv_timer_init(loop.raw(), timer_.get()) == 0);
    timer_.armed(this);
  }

  void start(nanoseconds delay) override {
    delay = std::clamp(delay, nanoseconds(0), nanoseconds::max() - kLongestWait);
    MonoTime now = loop_.clock().now();
    due_ = now > nanoseconds::max() - delay ? nanoseconds::max() : now + delay;
    arm(delay);
  }
  void stop() override { uv_timer_stop(timer_.get()); }
  bool active() const override { return uv_is_active(timer_.handle()) != 0; }

 private:
  void arm(nanoseconds wait) {
    wait = std::min(wait, kLongestWait);
    auto ms = static_cast<uint64_t>((wait.count() + 999'999) / 1'000'000);
    if (firing) ms = std::max<uint64_t>(ms, 1);
    uv_timer_start(timer_.get(), &UvTimer::on_timer, ms, 0);
  }
  static void on_timer(uv_timer_t* handle) noexcept {
    auto* self = static_cast<UvTimer*>(handle->data);
    if (self == nullptr) return;
    // libuv counts from its own reading of the clock, which may be older than the round's.
    nanoseconds left = self->due_ - self->loop_.clock().now();
    if (left > nanoseconds(0)) {
      self->arm(left);
      return;
    }
    firing = true;
    self->fire_();  // may destroy the timer
    firing = false;
  }

  Loop& loop_;
  std::move_only_function<void()> fire_;
  UvHandle<uv_timer_t> timer_;
  MonoTime due_{0};
};

class UvTimers final : public Timers {
 public:
  explicit UvTimers(Loop& loop) : loop_(loop) {}
  std::unique_ptr<Timer> make(std::move_only_function<void()> fire) override {
    return std::make_unique<UvTimer>(loop_, std::move(fire));
  }

 private:
  Loop& loop_;
};

}  // namespace

std::unique_ptr<Timers> make_timers(Loop& loop) { return std::make_unique<UvTimers>(loop); }

}  // namespace sluice
