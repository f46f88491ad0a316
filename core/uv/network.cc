#include "uv/network.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "uv/transport.h"

namespace sluice {
namespace {

constexpr Logger kLog{"uv"};
constexpr int kBacklog = 1024;
/// Connections taken in one round by one listener; the kernel keeps the others for the next.
constexpr int kMaxAccepts = 128;
constexpr uint64_t kFirstBackOff_ms = 10;
constexpr uint64_t kLongestBackOff_ms = 1000;

struct NetworkCounts {
  uint64_t accepted = 0;
  uint64_t accept_back_offs = 0;
};

std::string in_words(const std::string& host, uint16_t port) {
  return host + ":" + std::to_string(port);
}

/// Accepts by itself, so that without free descriptors it can leave connections in the kernel's
/// queue for a while (libuv's own listener would accept and close them).
class UvListener final : public Listener {
 public:
  UvListener(std::shared_ptr<TransportPool> pool, std::shared_ptr<NetworkCounts> counts, int fd,
             std::move_only_function<void(std::unique_ptr<Transport>)> on_accept)
      : pool_(std::move(pool)),
        counts_(std::move(counts)),
        fd_(fd),
        on_accept_(std::move(on_accept)) {
    SLUICE_CHECK(uv_poll_init(pool_->loop.raw(), poll_.get(), fd_) == 0);
    poll_.armed(this);
    SLUICE_CHECK(uv_timer_init(pool_->loop.raw(), again_.get()) == 0);
    again_.armed(this);
    watch();
  }
  ~UvListener() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
    poll_.close();  // takes the descriptor out of epoll at once
    ::close(fd_);
  }
  UvListener(const UvListener&) = delete;
  UvListener& operator=(const UvListener&) = delete;

  uint16_t port() const override {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
    return ntohs(address.ss_family == AF_INET6
                     ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                     : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  }

 private:
  void watch() {
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* poll, int, int) noexcept {
      auto* self = static_cast<UvListener*>(poll->data);
      if (self != nullptr) self->accept_waiting();
    });
  }

  void accept_waiting() {
    bool destroyed = false;
    destroyed_ = &destroyed;
    for (int taken = 0; taken < kMaxAccepts; ++taken) {
      int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) back_off(errno);
        break;
      }
      back_off_ms_ = kFirstBackOff_ms;
      hand_over(fd);
      if (destroyed) return;
    }
    destroyed_ = nullptr;
  }

  void hand_over(int fd) {
    UvHandle<uv_tcp_t> tcp;
    SLUICE_CHECK(uv_tcp_init(pool_->loop.raw(), tcp.get()) == 0);
    tcp.armed(nullptr);
    if (uv_tcp_open(tcp.get(), fd) != 0) {
      ::close(fd);
      return;
    }
    ++counts_->accepted;
    std::string peer = peer_name(tcp.get());
    on_accept_(make_tcp_transport(pool_, std::move(tcp), std::move(peer)));
  }

  void back_off(int code) {
    ++counts_->accept_back_offs;
    if (back_off_ms_ == kFirstBackOff_ms) {
      SLUICE_LOG(kLog, kError, "connections cannot be accepted, waiting error={}",
                 std::generic_category().message(code));
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

  std::shared_ptr<TransportPool> pool_;
  std::shared_ptr<NetworkCounts> counts_;
  int fd_;
  std::move_only_function<void(std::unique_ptr<Transport>)> on_accept_;
  UvHandle<uv_poll_t> poll_;
  UvHandle<uv_timer_t> again_;
  uint64_t back_off_ms_ = kFirstBackOff_ms;
  bool* destroyed_ = nullptr;
};

/// One outbound connection being made: look the name up, then try its addresses in turn.
class Connecting : public std::enable_shared_from_this<Connecting> {
 public:
  using Done = std::move_only_function<void(Result<std::unique_ptr<Transport>>)>;
  using Registry = std::set<std::shared_ptr<Connecting>>;

  Connecting(std::shared_ptr<TransportPool> pool, Registry& registry, std::string host,
             uint16_t port, Done done)
      : pool_(std::move(pool)),
        registry_(registry),
        host_(std::move(host)),
        port_(port),
        done_(std::move(done)) {}
  ~Connecting() {
    if (look_up_ != nullptr) {
      look_up_->data = nullptr;
      uv_cancel(reinterpret_cast<uv_req_t*>(look_up_));  // too late when running: then data says so
    }
    if (addresses_ != nullptr) uv_freeaddrinfo(addresses_);
  }
  Connecting(const Connecting&) = delete;
  Connecting& operator=(const Connecting&) = delete;

  void start() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    look_up_ = new uv_getaddrinfo_t{};
    look_up_->data = this;
    int rc = uv_getaddrinfo(pool_->loop.raw(), look_up_, &Connecting::on_looked_up, host_.c_str(),
                            std::to_string(port_).c_str(), &hints);
    if (rc == 0) return;
    delete std::exchange(look_up_, nullptr);
    pool_->loop.executor().post([weak = weak_from_this(), rc] {
      if (auto self = weak.lock()) self->fail_with(rc);
    });
  }

  /// Forgets the call without reporting.
  void cancel() { registry_.erase(shared_from_this()); }

 private:
  static void on_looked_up(uv_getaddrinfo_t* request, int status, addrinfo* found) noexcept {
    auto* self = static_cast<Connecting*>(request->data);
    delete request;
    if (self == nullptr) {
      uv_freeaddrinfo(found);
      return;
    }
    self->look_up_ = nullptr;
    self->addresses_ = found;
    self->next_ = found;
    if (status != 0) {
      self->fail_with(status);
    } else {
      self->try_next(UV_EAI_NODATA);
    }
  }

  void try_next(int last_code) {
    while (next_ != nullptr) {
      const addrinfo* address = std::exchange(next_, next_->ai_next);
      tcp_ = UvHandle<uv_tcp_t>();
      SLUICE_CHECK(uv_tcp_init(pool_->loop.raw(), tcp_.get()) == 0);
      tcp_.armed(this);
      auto* request = new uv_connect_t{};
      last_code = uv_tcp_connect(request, tcp_.get(), address->ai_addr, &Connecting::on_connected);
      if (last_code == 0) return;
      delete request;
    }
    fail_with(last_code);
  }

  static void on_connected(uv_connect_t* request, int status) noexcept {
    auto* self = static_cast<Connecting*>(request->handle->data);
    delete request;
    if (self == nullptr) return;
    if (status != 0) {
      self->try_next(status);
      return;
    }
    std::string peer = peer_name(self->tcp_.get());
    self->finish(make_tcp_transport(self->pool_, std::move(self->tcp_), std::move(peer)));
  }

  void fail_with(int code) {
    finish(std::unexpected(uv_error(code, "connect " + in_words(host_, port_))));
  }

  /// Last act: the callback may do anything, and this object is gone from the registry.
  void finish(Result<std::unique_ptr<Transport>> result) {
    auto self = shared_from_this();
    registry_.erase(self);
    Done done = std::move(done_);
    self.reset();  // destroys this
    done(std::move(result));
  }

  std::shared_ptr<TransportPool> pool_;
  Registry& registry_;
  std::string host_;
  uint16_t port_;
  Done done_;
  uv_getaddrinfo_t* look_up_ = nullptr;
  addrinfo* addresses_ = nullptr;
  const addrinfo* next_ = nullptr;
  UvHandle<uv_tcp_t> tcp_;
};

Result<int> bind_and_listen(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  int rc = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints,
                       &found);
  if (rc != 0) return fail(Errc::kIo, "listen " + in_words(host, port) + ": " + gai_strerror(rc));
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, &freeaddrinfo);
  int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, kBacklog) != 0) {
    int code = errno;
    if (fd >= 0) ::close(fd);
    return fail(Errc::kIo,
                "listen " + in_words(host, port) + ": " + std::generic_category().message(code));
  }
  return fd;
}

class TcpNetwork final : public UvNetwork {
 public:
  explicit TcpNetwork(Loop& loop) : pool_(std::make_shared<TransportPool>(loop)) {}
  ~TcpNetwork() override {
    while (!connecting_.empty()) connecting_.erase(connecting_.begin());
    pool_->lingering.clear();
  }
  TcpNetwork(const TcpNetwork&) = delete;
  TcpNetwork& operator=(const TcpNetwork&) = delete;

  Result<std::unique_ptr<Listener>> listen(
      const std::string& host, uint16_t port,
      std::move_only_function<void(std::unique_ptr<Transport>)> on_accept) override {
    auto fd = bind_and_listen(host, port);
    if (!fd) return std::unexpected(std::move(fd.error()));
    return std::make_unique<UvListener>(pool_, counts_, *fd, std::move(on_accept));
  }

  Ticket connect(const std::string& host, uint16_t port,
                 std::move_only_function<void(Result<std::unique_ptr<Transport>>)> done) override {
    auto call = std::make_shared<Connecting>(pool_, connecting_, host, port, std::move(done));
    connecting_.insert(call);
    call->start();
    return Ticket([weak = std::weak_ptr(call)] {
      if (auto alive = weak.lock()) alive->cancel();
    });
  }

  void collect(MetricSink& sink) const override {
    sink.counter("sluice_accepted_connections_total", "Connections accepted on any listener.", {},
                 static_cast<double>(counts_->accepted));
    sink.counter("sluice_accept_back_offs_total", "Times accepting paused for want of descriptors.",
                 {}, static_cast<double>(counts_->accept_back_offs));
    sink.gauge("sluice_lingering_connections", "Closed connections whose last bytes still go out.",
               {}, static_cast<double>(pool_->lingering.size()));
  }

 private:
  std::shared_ptr<TransportPool> pool_;
  std::shared_ptr<NetworkCounts> counts_ = std::make_shared<NetworkCounts>();
  Connecting::Registry connecting_;
};

}  // namespace

std::unique_ptr<UvNetwork> make_network(Loop& loop) { return std::make_unique<TcpNetwork>(loop); }

}  // namespace sluice
