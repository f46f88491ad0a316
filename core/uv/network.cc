#include "uv/network.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "uv/listener.h"
#include "uv/transport.h"

namespace sluice {
namespace {

constexpr int kBacklog = 1024;

std::string in_words(const std::string& host, uint16_t port) {
  return host + ":" + std::to_string(port);
}

/// @return null when the descriptor can't be used.
std::unique_ptr<Transport> tcp_from(const std::shared_ptr<TransportPool>& pool, int fd) {
  UvHandle<uv_tcp_t> tcp;
  SLUICE_CHECK(uv_tcp_init(pool->loop.raw(), tcp.get()) == 0);
  tcp.armed(nullptr);
  if (uv_tcp_open(tcp.get(), fd) != 0) return nullptr;
  std::string peer = peer_name(tcp.get());
  return make_tcp_transport(pool, std::move(tcp), std::move(peer));
}

std::unique_ptr<Transport> local_from(const std::shared_ptr<TransportPool>& pool, int fd) {
  UvHandle<uv_pipe_t> pipe;
  SLUICE_CHECK(uv_pipe_init(pool->loop.raw(), pipe.get(), 0) == 0);
  pipe.armed(nullptr);
  if (uv_pipe_open(pipe.get(), fd) != 0) return nullptr;
  return make_local_transport(pool, std::move(pipe), "local");
}

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

/// nullopt: the path is empty or too long for a socket.
std::optional<sockaddr_un> local_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// At once: a UNIX socket accepts, refuses or is full without waiting.
Result<int> dial_local(const std::string& path) {
  const auto address = local_address(path);
  if (!address) return fail(Errc::kInvalidArgument, "connect " + path + ": the path is too long for a socket");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0) return fd;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  return fail(Errc::kClosed, "connect " + path + ": " + std::generic_category().message(code));
}

/// A socket file that nobody listens on any more is replaced.
Result<int> bind_local(const std::string& path, unsigned mode) {
  const auto failed = [&](const std::string& why) { return fail(Errc::kIo, "listen " + path + ": " + why); };
  const auto found_address = local_address(path);
  if (!found_address) return failed("the path is too long for a socket");
  const sockaddr_un& address = *found_address;
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  struct stat found{};
  if (::lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) return failed("there is a file that is no socket");
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool taken = probe >= 0 && ::connect(probe, name, sizeof address) == 0;
    if (probe >= 0) ::close(probe);
    if (taken) return fail(Errc::kExists, "listen " + path + ": another process listens there");
    ::unlink(path.c_str());
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // Nobody can connect before listen(), so the mode is right in time.
  if (fd < 0 || ::bind(fd, name, sizeof address) != 0 || ::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0 ||
      ::listen(fd, kBacklog) != 0) {
    const int code = errno;
    if (fd >= 0) ::close(fd);
    return failed(std::generic_category().message(code));
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
    return std::make_unique<UvListener>(pool_, counts_, *fd, &tcp_from, std::move(on_accept));
  }

  Result<std::unique_ptr<Listener>> listen_local(
      const std::string& path, unsigned mode,
      std::move_only_function<void(std::unique_ptr<Transport>)> on_accept) override {
    auto fd = bind_local(path, mode);
    if (!fd) return std::unexpected(std::move(fd.error()));
    return std::make_unique<UvListener>(pool_, counts_, *fd, &local_from, std::move(on_accept));
  }

  Ticket connect(const std::string& host, uint16_t port,
                 std::move_only_function<void(Result<std::unique_ptr<Transport>>)> done) override {
    if (host.starts_with('/')) return connect_local(host, std::move(done));
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
  Ticket connect_local(const std::string& path, Connecting::Done done) {
    auto wanted = std::make_shared<bool>(true);
    pool_->loop.executor().post([pool = std::weak_ptr(pool_), path, wanted, told = std::move(done)]() mutable {
      const auto alive = pool.lock();
      if (!alive || !*wanted) return;
      auto fd = dial_local(path);
      if (!fd) return told(std::unexpected(std::move(fd.error())));
      if (auto transport = local_from(alive, *fd)) return told(std::move(transport));
      told(fail(Errc::kIo, "connect " + path + ": the socket can't be used"));
    });
    return Ticket([wanted] { *wanted = false; });
  }

  std::shared_ptr<TransportPool> pool_;
  std::shared_ptr<AcceptCounts> counts_ = std::make_shared<AcceptCounts>();
  Connecting::Registry connecting_;
};

}  // namespace

std::unique_ptr<UvNetwork> make_network(Loop& loop) { return std::make_unique<TcpNetwork>(loop); }

}  // namespace sluice
