#include "uv/listener.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"uv"};
/// Connections taken in one round by one listener; the kernel keeps the others for the next.
constexpr int kMaxAccepts = 128;
constexpr uint64_t kFirstBackOff_ms = 10;
constexpr uint64_t kLongestBackOff_ms = 1000;
constexpr rlim_t kMostKept_count = 1024;

/// The kernel gives out the lowest free descriptor, so a high one says that nearly all are in use. The last eighth of the limit, 1,024
/// at most, is the store's: without descriptors it could write no journal file, and a crowd of connections must not bring that about.
bool is_kept_for_files(int fd) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return false;
  const rlim_t kept = std::min(limit.rlim_cur / 8, kMostKept_count);
  return static_cast<rlim_t>(fd) >= limit.rlim_cur - kept;
}

}  // namespace

UvListener::UvListener(std::shared_ptr<TransportPool> pool, std::shared_ptr<AcceptCounts> counts, int fd, Wrap wrap,
                       std::move_only_function<void(std::unique_ptr<Transport>)> on_accept)
    : pool_(std::move(pool)),
      counts_(std::move(counts)),
      fd_(fd),
      wrap_(wrap),
      on_accept_(std::move(on_accept)),
      back_off_ms_(kFirstBackOff_ms) {
  SLUICE_CHECK(uv_poll_init(pool_->loop.raw(), poll_.get(), fd_) == 0);
  poll_.armed(this);
  SLUICE_CHECK(uv_timer_init(pool_->loop.raw(), again_.get()) == 0);
  again_.armed(this);
  watch();
}

UvListener::~UvListener() {
  if (destroyed_ != nullptr) *destroyed_ = true;
  poll_.close();  // takes the descriptor out of epoll at once
  ::close(fd_);
}

uint16_t UvListener::port() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  return 0;
}

void UvListener::watch() {
  uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* poll, int, int) noexcept {
    auto* self = static_cast<UvListener*>(poll->data);
    if (self != nullptr) self->accept_waiting();
  });
}

void UvListener::accept_waiting() {
  bool destroyed = false;
  destroyed_ = &destroyed;
  for (int taken = 0; taken < kMaxAccepts; ++taken) {
    int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) back_off(errno);
      break;
    }
    if (is_kept_for_files(fd)) {
      // Closed rather than left waiting: a client then tries another server.
      ::close(fd);
      back_off(EMFILE);
      break;
    }
    back_off_ms_ = kFirstBackOff_ms;
    hand_over(fd);
    if (destroyed) return;
  }
  destroyed_ = nullptr;
}

void UvListener::hand_over(int fd) {
  auto transport = wrap_(pool_, fd);
  if (transport == nullptr) {
    ::close(fd);
    return;
  }
  ++counts_->accepted;
  on_accept_(std::move(transport));
}

void UvListener::back_off(int code) {
  ++counts_->accept_back_offs;
  if (back_off_ms_ == kFirstBackOff_ms) {
    SLUICE_LOG(kLog, kError, "connections cannot be accepted, waiting error={}", std::generic_category().message(code));
  }
  uv_poll_stop(poll_.get());
  uv_timer_start(
      again_.get(),
      [](uv_timer_t* timer) noexcept {
        auto* self = static_cast<UvListener*>(timer->data);
        if (self != nullptr) self->watch();
      },
      back_off_ms_, 0);
  back_off_ms_ = std::min(back_off_ms_ * 2, kLongestBackOff_ms);
}

}  // namespace sluice
