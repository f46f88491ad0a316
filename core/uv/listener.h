// Accepting, TCP and UNIX sockets alike. Internal to this room (network.cc makes them).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "io/transport.h"
#include "uv/transport.h"
#include "uv/uv_handle.h"

namespace sluice {

struct AcceptCounts {
  uint64_t accepted = 0;
  uint64_t accept_back_offs = 0;
};

/// Accepts by itself, so that without free descriptors it can leave connections in the kernel's
/// queue for a while (libuv's own listener would accept and close them).
class UvListener final : public Listener {
 public:
  /// Makes a transport of an accepted descriptor; null: it did not take it.
  using Wrap = std::unique_ptr<Transport> (*)(const std::shared_ptr<TransportPool>& pool, int fd);

  /// Owns `fd`, a listening socket.
  UvListener(std::shared_ptr<TransportPool> pool, std::shared_ptr<AcceptCounts> counts, int fd, Wrap wrap,
             std::move_only_function<void(std::unique_ptr<Transport>)> on_accept);
  ~UvListener() override;
  UvListener(const UvListener&) = delete;
  UvListener& operator=(const UvListener&) = delete;

  /// 0 for a UNIX socket.
  uint16_t port() const override;

 private:
  void watch();
  void accept_waiting();
  void hand_over(int fd);
  void back_off(int code);

  std::shared_ptr<TransportPool> pool_;
  std::shared_ptr<AcceptCounts> counts_;
  int fd_;
  Wrap wrap_;
  std::move_only_function<void(std::unique_ptr<Transport>)> on_accept_;
  UvHandle<uv_poll_t> poll_;
  UvHandle<uv_timer_t> again_;
  uint64_t back_off_ms_;
  bool* destroyed_ = nullptr;
};

}  // namespace sluice
