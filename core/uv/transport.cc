#include "uv/transport.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {

namespace {

HandleOwner* owner_of(void* handle) {
  return static_cast<HandleOwner*>(static_cast<uv_handle_t*>(handle)->data);
}

/// A write under way owns its bytes until libuv is done with them.
struct WriteRequest {
  uv_write_t request{};
  std::string bytes;
};

void on_write_done(uv_write_t* request, int status) noexcept {
  auto* write = static_cast<WriteRequest*>(request->data);
  HandleOwner* owner = owner_of(request->handle);
  delete write;
  if (owner != nullptr) owner->on_written(status);
}

void on_shutdown_done(uv_shutdown_t* request, int) noexcept { delete request; }

/// @return 0 or libuv's code. A failing stream reports through on_read.
int start_reading(uv_stream_t* from) {
  return uv_read_start(
      from,
      [](uv_handle_t* handle, size_t, uv_buf_t* buffer) noexcept {
        // Any owner reads into the same block: its callback follows at once. No buffer ends libuv's loop of reads.
        HandleOwner* owner = owner_of(handle);
        const size_t room = owner == nullptr ? kReadBlock_bytes : owner->read_room();
        buffer->base = room > 0 ? static_cast<char*>(handle->loop->data) : nullptr;
        buffer->len = buffer->base == nullptr ? 0 : room;
      },
      [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) noexcept {
        HandleOwner* owner = owner_of(stream);
        if (owner == nullptr || count == 0 || (count == UV_ENOBUFS && buffer->base == nullptr)) return;
        std::string_view bytes;
        if (count > 0) bytes = {buffer->base, static_cast<size_t>(count)};
        owner->on_read(count, bytes);  // may destroy the owner
      });
}

}  // namespace

/// A closed transport whose last bytes still go out: writes, sends FIN, and waits for the peer's
/// end (closing with unread bytes would send RST, which takes what we wrote away from the peer).
template <class H>
class UvLinger final : public HandleOwner {
 public:
  UvLinger(TransportPool& pool, UvHandle<H> handle) : pool_(pool), handle_(std::move(handle)) {
    handle_.set_owner(static_cast<HandleOwner*>(this));
    SLUICE_CHECK(uv_timer_init(pool_.loop.raw(), deadline_.get()) == 0);
    deadline_.armed(this);
    uv_timer_start(
        deadline_.get(),
        [](uv_timer_t* timer) noexcept {
          auto* self = static_cast<UvLinger*>(timer->data);
          if (self != nullptr) self->end();
        },
        static_cast<uint64_t>(kFlushDeadline.count()), 0);
    uv_read_stop(handle_.stream());
    auto* request = new uv_shutdown_t{};
    if (uv_shutdown(request, handle_.stream(), &on_shutdown_done) != 0) {
      delete request;
      failed_ = true;
    } else if (start_reading(handle_.stream()) != 0) {
      failed_ = true;
    }
  }

  bool failed() const { return failed_; }
  void on_read(ssize_t count, std::string_view) override {
    if (count < 0) end();
  }
  void on_written(int status) override {
    if (status != 0) end();
  }

 private:
  /// Destroys this.
  void end() {
    for (auto it = pool_.lingering.begin(); it != pool_.lingering.end(); ++it) {
      if (it->get() == this) {
        pool_.lingering.erase(it);
        return;
      }
    }
  }

  TransportPool& pool_;
  UvHandle<H> handle_;
  UvHandle<uv_timer_t> deadline_;
  bool failed_ = false;
};

TransportPool::TransportPool(Loop& l)
    : loop(l), read_block(new char[kReadBlock_bytes + kReadPadding_bytes]()) {
  SLUICE_CHECK(loop.raw()->data == nullptr);  // one network for a loop
  loop.raw()->data = read_block.get();
}

TransportPool::~TransportPool() {
  lingering.clear();
  loop.raw()->data = nullptr;
}

namespace {

/// H: uv_tcp_t or uv_pipe_t.
template <class H>
class UvTransport final : public Transport, public HandleOwner {
 public:
  UvTransport(std::shared_ptr<TransportPool> pool, UvHandle<H> handle, std::string peer)
      : pool_(std::move(pool)), handle_(std::move(handle)), peer_(std::move(peer)) {
    handle_.set_owner(static_cast<HandleOwner*>(this));
  }
  UvTransport(const UvTransport&) = delete;
  UvTransport& operator=(const UvTransport&) = delete;

  void start(TransportHandler& handler) override {
    handler_ = &handler;
    resume_reading();
  }

  void write(std::string& bytes) override {
    if (!handle_ || broken_) {
      bytes.clear();
      return;
    }
    size_t written = 0;
    if (queued_bytes() == 0 && writes_under_way_ == 0) {
      uv_buf_t buffer = uv_buf_init(bytes.data(), static_cast<unsigned>(bytes.size()));
      int rc = bytes.empty() ? 0 : uv_try_write(handle_.stream(), &buffer, 1);
      if (rc == UV_EAGAIN) rc = 0;
      if (rc < 0) {
        bytes.clear();
        break_later(rc);
        return;
      }
      written = static_cast<size_t>(rc);
    }
    if (written == bytes.size()) {
      bytes.clear();
      return;
    }
    queue(std::exchange(bytes, {}), written);
  }

  size_t queued_bytes() const override {
    return handle_ ? uv_stream_get_write_queue_size(handle_.stream()) : 0;
  }

  void pause_reading() override {
    if (handle_) uv_read_stop(handle_.stream());
  }

  void resume_reading() override {
    if (!handle_ || handler_ == nullptr || broken_) return;
    int rc = start_reading(handle_.stream());
    if (rc != 0 && rc != UV_EALREADY) break_later(rc);
  }

  void close(bool flush) override {
    handler_ = nullptr;
    if (!handle_) return;
    if (!flush || broken_) {
      handle_.close();
      return;
    }
    auto linger = std::make_unique<UvLinger<H>>(*pool_, std::move(handle_));
    if (!linger->failed()) pool_->lingering.insert(std::move(linger));
  }

  std::string peer_address() const override { return peer_; }

  size_t read_room() override {
    const uint64_t round = pool_->loop.lag().rounds;
    if (std::exchange(turn_, round) != round) turn_bytes_ = 0;
    return std::min(kReadBlock_bytes, kTurn_bytes - std::min(kTurn_bytes, turn_bytes_));
  }

  void on_read(ssize_t count, std::string_view bytes) override {
    if (handler_ == nullptr) return;
    if (count > 0) {
      turn_bytes_ += static_cast<size_t>(count);
      handler_->on_bytes(bytes);  // may destroy us
      return;
    }
    tell_closed(static_cast<int>(count));
  }

  void on_written(int status) override {
    --writes_under_way_;
    if (status != 0) {
      if (status != UV_ECANCELED) tell_closed(status);
      return;
    }
    if (writes_under_way_ == 0 && handler_ != nullptr) handler_->on_drained();
  }

 private:
  void queue(std::string bytes, size_t written) {
    auto* write = new WriteRequest{{}, std::move(bytes)};
    write->request.data = write;
    uv_buf_t buffer = uv_buf_init(write->bytes.data() + written,
                                  static_cast<unsigned>(write->bytes.size() - written));
    int rc = uv_write(&write->request, handle_.stream(), &buffer, 1, &on_write_done);
    if (rc != 0) {
      delete write;
      break_later(rc);
      return;
    }
    ++writes_under_way_;
  }

  /// write() must not call back into its caller: on_closed comes in a later callback.
  void break_later(int code) {
    if (std::exchange(broken_, true)) return;
    uv_read_stop(handle_.stream());
    alive_ = std::make_shared<UvTransport*>(this);
    pool_->loop.executor().post([alive = std::weak_ptr(alive_), code] {
      if (auto self = alive.lock()) (*self)->tell_closed(code);
    });
  }

  void tell_closed(int code) {
    broken_ = true;
    if (handle_) uv_read_stop(handle_.stream());
    TransportHandler* handler = std::exchange(handler_, nullptr);
    if (handler == nullptr) return;
    if (code == UV_EOF) {
      handler->on_closed(Error{Errc::kClosed, 0, "closed by the peer"});
    } else {
      handler->on_closed(uv_error(code, "connection"));
    }
  }

  std::shared_ptr<TransportPool> pool_;
  UvHandle<H> handle_;
  std::string peer_;
  TransportHandler* handler_ = nullptr;
  size_t writes_under_way_ = 0;
  uint64_t turn_ = 0;  ///< the round that turn_bytes_ were read in
  size_t turn_bytes_ = 0;
  bool broken_ = false;
  std::shared_ptr<UvTransport*> alive_;
};

}  // namespace

std::unique_ptr<Transport> make_tcp_transport(std::shared_ptr<TransportPool> pool,
                                              UvHandle<uv_tcp_t> tcp, std::string peer) {
  uv_tcp_nodelay(tcp.get(), 1);
  return std::make_unique<UvTransport<uv_tcp_t>>(std::move(pool), std::move(tcp), std::move(peer));
}

std::unique_ptr<Transport> make_local_transport(std::shared_ptr<TransportPool> pool,
                                                UvHandle<uv_pipe_t> pipe, std::string peer) {
  return std::make_unique<UvTransport<uv_pipe_t>>(std::move(pool), std::move(pipe), std::move(peer));
}

std::string peer_name(uv_tcp_t* tcp) {
  sockaddr_storage address{};
  int length = sizeof address;
  if (uv_tcp_getpeername(tcp, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "";
  char host[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    uv_ip6_name(v6, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(v6->sin6_port));
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
  uv_ip4_name(v4, host, sizeof host);
  return std::string(host) + ":" + std::to_string(ntohs(v4->sin_port));
}

}  // namespace sluice
