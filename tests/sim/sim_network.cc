#include "sim/sim_network.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "base/check.h"

namespace sluice::sim {

namespace {
constexpr size_t kPadding = 64;
constexpr std::chrono::nanoseconds kFlushDeadline = std::chrono::seconds(5);
constexpr std::chrono::nanoseconds kConnectRetry = std::chrono::seconds(1);

std::pair<std::string, std::string> ordered(const std::string& a, const std::string& b) {
  return a < b ? std::pair(a, b) : std::pair(b, a);
}
}  // namespace

/// One direction: from the sender's queue through the "kernel" to the reader.
struct SimNetwork::Pipe {
  struct Burst {
    std::string bytes;
    MonoTime due;
  };
  std::string queued;          ///< beyond the window
  std::deque<Burst> flight;    ///< in the window
  size_t window_used = 0;
  bool ending = false;         ///< the sender closed; the end follows the last byte
  std::optional<MonoTime> end_due;
  bool end_told = false;
  MonoTime busy_until{};       ///< bandwidth
  MonoTime last_due{};         ///< order
  bool pump_scheduled = false;
};

struct SimNetwork::Connection {
  std::array<std::string, 2> hosts;
  std::array<class SimTransport*, 2> sides{};
  std::array<Pipe, 2> pipes;  ///< pipes[i] leads to side i
};

struct SimNetwork::ListenerEntry {
  std::move_only_function<void(std::unique_ptr<Transport>)> on_accept;
};

class SimTransport : public Transport {
 public:
  SimTransport(SimNetwork& net, SimNetwork::ConnectionPtr connection, int side)
      : net_(net), connection_(std::move(connection)), side_(side) {}
  SimTransport(const SimTransport&) = delete;
  SimTransport& operator=(const SimTransport&) = delete;
  ~SimTransport() override {
    close(false);
    detach();
  }

  void start(TransportHandler& handler) override {
    SLUICE_CHECK(handler_ == nullptr && !started_);
    started_ = true;
    if (broken_) {  // before anybody listened
      handler_ = &handler;
      net_.tell_later(connection_, side_);
      return;
    }
    if (closed_) return;
    handler_ = &handler;
    net_.schedule_pump(connection_, side_);
  }
  void write(std::string& bytes) override {
    if (closed_) {
      bytes.clear();
    } else {
      net_.send(connection_, side_, bytes);
    }
  }
  size_t queued_bytes() const override {
    return connection_->pipes.at(static_cast<size_t>(1 - side_)).queued.size();
  }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override {
    paused_ = false;
    if (!closed_) net_.schedule_pump(connection_, side_);
  }
  void close(bool flush) override {
    handler_ = nullptr;
    const bool first = !std::exchange(closed_, true);
    if (first || !flush) net_.finish_sending(connection_, 1 - side_, flush);
    if (first) net_.schedule_pump(connection_, side_);  // what still comes is thrown away
  }
  std::string peer_address() const override { return ""; }

  // -- for SimNetwork
  bool reads() const { return started_ && !paused_ && !closed_; }
  bool closed() const { return closed_; }
  TransportHandler* handler() const { return handler_; }
  /// The stream failed by itself: nothing comes after this. @return whom to tell, when started.
  TransportHandler* break_off(const Error& why) {
    closed_ = true;
    if (!started_) broken_ = why;
    return std::exchange(handler_, nullptr);
  }
  void tell_broken() {
    if (TransportHandler* handler = std::exchange(handler_, nullptr)) handler->on_closed(*broken_);
  }

 private:
  void detach() { connection_->sides.at(static_cast<size_t>(side_)) = nullptr; }
  SimNetwork& net_;
  SimNetwork::ConnectionPtr connection_;
  int side_;
  TransportHandler* handler_ = nullptr;
  bool started_ = false;
  bool paused_ = false;
  bool closed_ = false;
  std::optional<Error> broken_;
};

class SimListener : public Listener {
 public:
  SimListener(SimNetwork& net, std::string host, uint16_t port)
      : net_(net), host_(std::move(host)), port_(port) {}
  SimListener(const SimListener&) = delete;
  SimListener& operator=(const SimListener&) = delete;
  ~SimListener() override { net_.listeners_.erase({host_, port_}); }
  uint16_t port() const override { return port_; }

 private:
  SimNetwork& net_;
  std::string host_;
  uint16_t port_;
};

class SimHost : public Network {
 public:
  SimHost(SimNetwork& net, std::string name) : net_(net), name_(std::move(name)) {}

  Result<std::unique_ptr<Listener>> listen(
      const std::string& host, uint16_t port,
      std::move_only_function<void(std::unique_ptr<Transport>)> on_accept) override {
    while (port == 0) {
      const uint16_t candidate = net_.next_port_++;
      if (candidate != 0 && !net_.listeners_.contains({name_, candidate})) port = candidate;
    }
    auto entry = std::make_shared<SimNetwork::ListenerEntry>();
    entry->on_accept = std::move(on_accept);
    if (!net_.listeners_.emplace(std::pair(name_, port), std::move(entry)).second)
      return fail(Errc::kIo, "address in use: " + host + ":" + std::to_string(port));
    return std::make_unique<SimListener>(net_, name_, port);
  }

  Ticket connect(const std::string& host, uint16_t port, SimNetwork::ConnectDone done) override {
    const bool self = host.empty() || host == "localhost" || host == "127.0.0.1" ||
                      host == "0.0.0.0" || host == "::1" || host == "[::1]";
    auto shared = std::make_shared<SimNetwork::ConnectDone>(std::move(done));
    const std::string to = self ? name_ : host;
    const MonoTime now = net_.events_.clock().now();
    net_.events_.schedule(SimEvents::Kind::kIo, now + net_.latency(),
                          [&net = net_, from = name_, to, port, shared,
                           give_up = now + net_.options_.connect_timeout] {
                            net.connect_attempt(from, to, port, give_up, shared);
                          });
    return Ticket([shared] { *shared = nullptr; });
  }

 private:
  SimNetwork& net_;
  std::string name_;
};

SimNetwork::SimNetwork(SimEvents& events, SimRandom random) : events_(events), random_(random) {}
SimNetwork::~SimNetwork() = default;

Network& SimNetwork::host(const std::string& name) {
  auto& slot = hosts_[name];
  if (!slot) slot = std::make_unique<SimHost>(*this, name);
  return *slot;
}

std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> SimNetwork::make_pair(
    const std::string& a, const std::string& b) {
  const ConnectionPtr connection = make_connection(a, b);
  auto first = make_side(connection, 0);
  return {std::move(first), make_side(connection, 1)};
}

SimNetwork::ConnectionPtr SimNetwork::make_connection(const std::string& a, const std::string& b) {
  auto connection = std::make_shared<Connection>();
  connection->hosts = {a, b};
  std::erase_if(connections_, [](const auto& old) { return old.expired(); });
  connections_.push_back(connection);
  return connection;
}

std::unique_ptr<Transport> SimNetwork::make_side(const ConnectionPtr& connection, int side) {
  auto transport = std::make_unique<SimTransport>(*this, connection, side);
  connection->sides.at(static_cast<size_t>(side)) = transport.get();
  return transport;
}

MonoTime SimNetwork::latency() {
  const auto low = static_cast<uint64_t>(options_.latency_low.count());
  const auto high = static_cast<uint64_t>(options_.latency_high.count());
  return MonoTime(static_cast<int64_t>(random_.between(low, std::max(low, high))));
}

bool SimNetwork::is_cut(const std::string& a, const std::string& b) const {
  return cuts_.contains(ordered(a, b));
}

void SimNetwork::cut(const std::string& a, const std::string& b) { cuts_.insert(ordered(a, b)); }

void SimNetwork::heal(const std::string& a, const std::string& b) {
  cuts_.erase(ordered(a, b));
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) {
      schedule_pump(connection, 0);
      schedule_pump(connection, 1);
    }
  }
}

void SimNetwork::reset(const std::string& a, const std::string& b) {
  for (const auto& weak : std::vector(connections_)) {
    const auto connection = weak.lock();
    if (!connection || ordered(connection->hosts[0], connection->hosts[1]) != ordered(a, b)) continue;
    for (Pipe& pipe : connection->pipes) {
      pipe.flight.clear();
      pipe.window_used = 0;
      pipe.end_told = true;  // the reset is told instead
    }
    for (int side = 0; side < 2; ++side) {
      events_.schedule(SimEvents::Kind::kIo, events_.clock().now(), [this, connection, side] {
        fail_side(connection, side, Error{Errc::kIo, 0, "connection reset by peer"});
      });
    }
  }
}

size_t SimNetwork::open_connections() const {
  return static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(), [](const auto& weak) {
    const auto connection = weak.lock();
    return connection && connection->sides[0] && connection->sides[1] &&
           !connection->sides[0]->closed() && !connection->sides[1]->closed();
  }));
}

void SimNetwork::connect_attempt(const std::string& from, const std::string& to, uint16_t port,
                                 MonoTime give_up, std::shared_ptr<ConnectDone> done) {
  if (!*done) return;  // cancelled
  const auto finish = [&](Result<std::unique_ptr<Transport>> result) {
    auto run = std::exchange(*done, nullptr);
    run(std::move(result));
  };
  const MonoTime now = events_.clock().now();
  if (is_cut(from, to)) {
    if (now >= give_up) return finish(fail(Errc::kTimeout, "no answer from " + to));
    events_.schedule(SimEvents::Kind::kTimer, std::min(give_up, now + kConnectRetry),
                     [this, from, to, port, give_up, done] {
                       connect_attempt(from, to, port, give_up, done);
                     });
    return;
  }
  const auto found = listeners_.find({to, port});
  if (found == listeners_.end())
    return finish(fail(Errc::kIo, "connection refused: " + to + ":" + std::to_string(port)));
  const ConnectionPtr connection = make_connection(from, to);
  // The two ends hear of it on their own, in any order.
  auto near = std::make_shared<std::unique_ptr<Transport>>(make_side(connection, 0));
  events_.schedule(SimEvents::Kind::kIo, now + latency(), [done, near] {
    if (auto run = std::exchange(*done, nullptr)) run(std::move(*near));
  });
  const std::shared_ptr<ListenerEntry> entry = found->second;
  auto far = make_side(connection, 1);
  entry->on_accept(std::move(far));
}

void SimNetwork::send(const ConnectionPtr& connection, int from, std::string& bytes) {
  Pipe& pipe = connection->pipes.at(static_cast<size_t>(1 - from));
  const size_t room = options_.window_bytes - std::min(options_.window_bytes, pipe.window_used);
  if (pipe.queued.empty() && bytes.size() <= room) {
    pipe.queued.assign(bytes);
    bytes.clear();  // the capacity stays with the caller
    fill_window(connection, 1 - from);
    return;
  }
  if (pipe.queued.empty()) {
    pipe.queued = std::exchange(bytes, {});
  } else {
    pipe.queued.append(bytes);
    bytes.clear();
  }
  fill_window(connection, 1 - from);
}

void SimNetwork::fill_window(const ConnectionPtr& connection, int to) {
  Pipe& pipe = connection->pipes.at(static_cast<size_t>(to));
  const size_t room = options_.window_bytes - std::min(options_.window_bytes, pipe.window_used);
  const size_t count = std::min(room, pipe.queued.size());
  const MonoTime now = events_.clock().now();
  if (count > 0) {
    pipe.busy_until = std::max(pipe.busy_until, now);
    if (options_.bytes_per_second > 0)
      pipe.busy_until += MonoTime(static_cast<int64_t>(count * 1'000'000'000 / options_.bytes_per_second));
    pipe.last_due = std::max(pipe.last_due, pipe.busy_until + latency());
    pipe.flight.push_back({pipe.queued.substr(0, count), pipe.last_due});
    pipe.queued.erase(0, count);
    pipe.window_used += count;
  }
  if (pipe.ending && pipe.queued.empty() && !pipe.end_due) {
    pipe.last_due = std::max(pipe.last_due, now + latency());
    pipe.end_due = pipe.last_due;
  }
  schedule_pump(connection, to);
}

void SimNetwork::schedule_pump(const ConnectionPtr& connection, int to) {
  Pipe& pipe = connection->pipes.at(static_cast<size_t>(to));
  if (pipe.pump_scheduled) return;
  MonoTime at{};
  if (!pipe.flight.empty()) {
    at = pipe.flight.front().due;
  } else if (pipe.end_due && !pipe.end_told) {
    at = *pipe.end_due;
  } else {
    return;
  }
  const SimTransport* reader = connection->sides.at(static_cast<size_t>(to));
  const bool discards = !reader || reader->closed();
  if (!discards && !reader->reads()) return;
  if (is_cut(connection->hosts[0], connection->hosts[1])) return;
  pipe.pump_scheduled = true;
  events_.schedule(SimEvents::Kind::kIo, at, [this, connection, to] { pump(connection, to); });
}

/// Hands one chunk to the reader, or the end.
void SimNetwork::pump(const ConnectionPtr& connection, int to) {
  Pipe& pipe = connection->pipes.at(static_cast<size_t>(to));
  pipe.pump_scheduled = false;
  SimTransport* reader = connection->sides.at(static_cast<size_t>(to));
  const bool discards = !reader || reader->closed();
  if (is_cut(connection->hosts[0], connection->hosts[1]) || (!discards && !reader->reads())) return;
  if (pipe.flight.empty()) {
    if (!pipe.end_due || std::exchange(pipe.end_told, true)) return;
    fail_side(connection, to, Error{Errc::kClosed, 0, "closed by peer"});
    return;
  }
  if (discards) {
    pipe.flight.clear();
    pipe.queued.clear();
    pipe.window_used = 0;
    // Bytes for a closed socket: the sender learns it even when it does not read. While what was
    // flushed at the close is still on its way, the socket lingers and swallows them.
    const Pipe& back = connection->pipes.at(static_cast<size_t>(1 - to));
    if (back.ending && !(back.flight.empty() && back.queued.empty())) return;
    fail_side(connection, 1 - to, Error{Errc::kIo, 0, "broken pipe"});
    return;
  }
  Pipe::Burst& burst = pipe.flight.front();
  const size_t most = random_.chance(options_.small_chunk_percent) ? 16 : options_.max_chunk_bytes;
  const size_t count = std::min<size_t>(burst.bytes.size(), random_.between(1, std::max<size_t>(1, most)));
  // A block of exactly this size, so that a reader that goes beyond the padding is caught.
  const std::unique_ptr<char[]> block(new char[count + kPadding]());
  std::memcpy(block.get(), burst.bytes.data(), count);
  burst.bytes.erase(0, count);
  if (burst.bytes.empty()) pipe.flight.pop_front();
  pipe.window_used -= count;
  const bool was_queued = !pipe.queued.empty();
  fill_window(connection, to);
  if (was_queued && pipe.queued.empty()) {
    events_.schedule(SimEvents::Kind::kIo, events_.clock().now(), [connection, side = 1 - to, to] {
      const SimTransport* sender = connection->sides.at(static_cast<size_t>(side));
      const bool drained = connection->pipes.at(static_cast<size_t>(to)).queued.empty();
      if (drained && sender && sender->handler()) sender->handler()->on_drained();
    });
  }
  reader->handler()->on_bytes(std::string_view(block.get(), count));  // may destroy the reader
}

/// The sender of the pipe to side `to` closes.
void SimNetwork::finish_sending(const ConnectionPtr& connection, int to, bool flush) {
  Pipe& pipe = connection->pipes.at(static_cast<size_t>(to));
  if (!flush) pipe.queued.clear();
  const Pipe& unread = connection->pipes.at(static_cast<size_t>(1 - to));
  const bool rude = !pipe.ending && !unread.flight.empty() &&
                    random_.chance(options_.reset_on_close_percent);
  pipe.ending = true;
  if (rude) {
    pipe.queued.clear();
    pipe.flight.clear();
    pipe.window_used = 0;
    events_.schedule(SimEvents::Kind::kIo, events_.clock().now() + latency(), [this, connection, to] {
      fail_side(connection, to, Error{Errc::kIo, 0, "connection reset by peer"});
    });
    return;
  }
  if (!pipe.queued.empty()) {
    events_.schedule(SimEvents::Kind::kTimer, events_.clock().now() + kFlushDeadline,
                     [this, weak = std::weak_ptr(connection), to] {
                       if (const auto open = weak.lock()) finish_sending(open, to, false);
                     });
  }
  fill_window(connection, to);
}

void SimNetwork::tell_later(const ConnectionPtr& connection, int side) {
  events_.schedule(SimEvents::Kind::kIo, events_.clock().now(), [connection, side] {
    SimTransport* transport = connection->sides.at(static_cast<size_t>(side));
    if (transport) transport->tell_broken();
  });
}

void SimNetwork::fail_side(const ConnectionPtr& connection, int side, const Error& why) {
  SimTransport* transport = connection->sides.at(static_cast<size_t>(side));
  if (!transport || transport->closed()) return;
  TransportHandler* handler = transport->break_off(why);
  Pipe& out = connection->pipes.at(static_cast<size_t>(1 - side));
  out.queued.clear();
  out.ending = true;
  fill_window(connection, 1 - side);
  schedule_pump(connection, side);
  if (handler) handler->on_closed(why);  // may destroy the transport
}

}  // namespace sluice::sim
