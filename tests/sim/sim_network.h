// Byte streams in memory between named hosts: latency, bandwidth, chunks of random size, cuts.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/transport.h"
#include "sim/sim_loop.h"
#include "sim/sim_random.h"

namespace sluice::sim {

struct SimNetworkOptions {
  std::chrono::nanoseconds latency_low{0};   ///< one way, drawn for each burst; order is kept
  std::chrono::nanoseconds latency_high{0};
  uint64_t bytes_per_second = 0;             ///< each direction of each connection; 0 = no limit
  size_t window_bytes = 256 * 1024;          ///< taken by the "kernel" and not yet read by the peer
  size_t max_chunk_bytes = 64 * 1024;        ///< one on_bytes call
  unsigned small_chunk_percent = 25;         ///< how often a chunk is cut to 1…16 bytes
  unsigned reset_on_close_percent = 0;       ///< how often a close with unread bytes is a reset
  std::chrono::nanoseconds connect_timeout{10'000'000'000};  ///< for connects across a cut
};

/// The whole network. Hosts are names that exist by being used.
class SimNetwork {
 public:
  SimNetwork(SimEvents& events, SimRandom random);
  ~SimNetwork();

  SimNetworkOptions& options() { return options_; }
  /// The network as `name` sees it; connect() takes host names, and loopback addresses for itself.
  Network& host(const std::string& name);
  /// A connected pair, without listener.
  std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> make_pair(
      const std::string& a = "local", const std::string& b = "local");

  /// Nothing passes between a and b any more, no bytes and no ends (half-open), until heal(); then
  /// what was under way goes on. New connects wait, then fail with kTimeout. a == b cuts loopback.
  void cut(const std::string& a, const std::string& b);
  void heal(const std::string& a, const std::string& b);
  /// Every connection between a and b fails with kIo on both sides; bytes under way are lost.
  void reset(const std::string& a, const std::string& b);
  size_t open_connections() const;

 private:
  friend class SimTransport;
  friend class SimListener;
  friend class SimHost;
  struct Pipe;
  struct Connection;
  struct ListenerEntry;

  using ConnectDone = std::move_only_function<void(Result<std::unique_ptr<Transport>>)>;
  using ConnectionPtr = std::shared_ptr<Connection>;

  bool is_cut(const std::string& a, const std::string& b) const;
  ConnectionPtr make_connection(const std::string& a, const std::string& b);
  std::unique_ptr<Transport> make_side(const ConnectionPtr& connection, int side);
  void send(const ConnectionPtr& connection, int from, std::string& bytes);
  void fill_window(const ConnectionPtr& connection, int to);
  void schedule_pump(const ConnectionPtr& connection, int to);
  void pump(const ConnectionPtr& connection, int to);
  void finish_sending(const ConnectionPtr& connection, int to, bool flush);
  void fail_side(const ConnectionPtr& connection, int side, const Error& why);
  void tell_later(const ConnectionPtr& connection, int side);
  void connect_attempt(const std::string& from, const std::string& to, uint16_t port,
                       MonoTime give_up, std::shared_ptr<ConnectDone> done);
  MonoTime latency();

  SimEvents& events_;
  SimRandom random_;
  SimNetworkOptions options_;
  std::map<std::string, std::unique_ptr<Network>> hosts_;
  std::map<std::pair<std::string, uint16_t>, std::shared_ptr<ListenerEntry>> listeners_;
  std::set<std::pair<std::string, std::string>> cuts_;
  std::vector<std::weak_ptr<Connection>> connections_;
  uint16_t next_port_ = 40000;
};

}  // namespace sluice::sim
