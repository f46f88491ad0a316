// The far end of a connection in a test: keeps what came, sends what it is told.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/transport.h"

namespace sluice::sim {

/// `SimPeer peer(env.network(), "127.0.0.1", port); env.run_until_idle(); peer.send("PING\r\n");`
class SimPeer : public TransportHandler {
 public:
  /// Connects; `connected()` after the loop has run.
  SimPeer(Network& network, const std::string& host, uint16_t port);
  explicit SimPeer(std::unique_ptr<Transport> transport);
  SimPeer(const SimPeer&) = delete;
  SimPeer& operator=(const SimPeer&) = delete;
  ~SimPeer() override = default;

  bool connected() const { return transport_ != nullptr; }
  /// Bytes to the other side; before the connect has finished they are kept and sent then.
  void send(std::string_view bytes);
  /// All bytes received and not yet taken.
  const std::string& received() const { return received_; }
  std::string take_received();
  /// The next whole line without its CR LF; nullopt when there is none yet.
  std::optional<std::string> take_line();
  /// Exactly `count` bytes; nullopt when fewer have come.
  std::optional<std::string> take_bytes(size_t count);
  bool closed() const { return closed_.has_value(); }
  const std::optional<Error>& close_reason() const { return closed_; }
  size_t drained_count() const { return drained_; }
  void close(bool flush = false);
  void pause_reading() { transport_->pause_reading(); }
  void resume_reading() { transport_->resume_reading(); }
  Transport* transport() { return transport_.get(); }

  void on_bytes(std::string_view bytes) override { received_.append(bytes); }
  void on_drained() override { ++drained_; }
  void on_closed(const Error& why) override { closed_ = why; }

 private:
  std::unique_ptr<Transport> transport_;
  Ticket connecting_;
  std::string to_send_;
  std::string received_;
  std::optional<Error> closed_;
  size_t drained_ = 0;
};

}  // namespace sluice::sim
