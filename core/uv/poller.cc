#include "uv/poller.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "uv/uv_handle.h"

namespace sluice {
namespace {

constexpr Logger kLog{"uv"};

class UvPollHandle final : public PollHandle {
 public:
  UvPollHandle(Loop& loop, int fd, std::move_only_function<void(bool, bool)> ready)
      : ready_(std::move(ready)) {
    int rc = uv_poll_init(loop.raw(), poll_.get(), fd);
    if (rc != 0) {
      SLUICE_LOG(kLog, kError, "descriptor cannot be watched fd={} error={}", fd, uv_strerror(rc));
      return;
    }
    poll_.armed(this);
    armed_ = true;
  }

  void want(bool readable, bool writable) override {
    if (!armed_) return;
    int events = (readable ? UV_READABLE | UV_DISCONNECT : 0) | (writable ? UV_WRITABLE : 0);
    if (events == 0) {
      uv_poll_stop(poll_.get());
    } else {
      uv_poll_start(poll_.get(), events, &UvPollHandle::on_ready);
    }
  }

 private:
  static void on_ready(uv_poll_t* handle, int status, int events) noexcept {
    auto* self = static_cast<UvPollHandle*>(handle->data);
    if (self == nullptr) return;
    // A broken descriptor is both: the library that owns it then reads its error itself.
    if (status < 0) {
      self->ready_(true, true);
    } else {
      self->ready_((events & (UV_READABLE | UV_DISCONNECT)) != 0, (events & UV_WRITABLE) != 0);
    }
  }

  std::move_only_function<void(bool, bool)> ready_;
  UvHandle<uv_poll_t> poll_;
  bool armed_ = false;
};

class UvPoller final : public Poller {
 public:
  explicit UvPoller(Loop& loop) : loop_(loop) {}
  std::unique_ptr<PollHandle> watch(int fd,
                                    std::move_only_function<void(bool, bool)> ready) override {
    return std::make_unique<UvPollHandle>(loop_, fd, std::move(ready));
  }

 private:
  Loop& loop_;
};

}  // namespace

std::unique_ptr<Poller> make_poller(Loop& loop) { return std::make_unique<UvPoller>(loop); }

}  // namespace sluice
