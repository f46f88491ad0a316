// A byte stream to one peer: TCP, or TLS and WebSocket around it. The connection can't tell which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ticket.h"

namespace sluice {

/// What a TLS session knows of itself and of the certificate that the peer has shown and proven.
struct TlsPeer {
  std::string version = {};  ///< "1.2", "1.3"
  std::string cipher = {};   ///< IANA name
  bool certificate = false;  ///< one was shown; the rest is empty without
  std::string subject = {};  ///< RFC 2253: the last component first
  std::vector<std::string> emails = {};
  std::vector<std::string> dns_names = {};
  std::vector<std::string> uris = {};
  std::string public_key_sha256 = {};   ///< of the SPKI, lower-case hex
  std::string certificate_sha256 = {};
};

class TransportHandler {
 public:
  virtual ~TransportHandler() = default;
  /// The stream's own handshake is done; only where Transport::established() was false at start().
  virtual void on_established() {}
  /// Bytes as they came; the view is for this call only. May close or destroy the transport's owner
  /// as its last act. The block behind `bytes` has 64 readable bytes of padding after its end.
  virtual void on_bytes(std::string_view bytes) = 0;
  /// Everything queued has gone to the kernel.
  virtual void on_drained() = 0;
  /// The peer closed, or the stream failed. Called at most once, never after close().
  virtual void on_closed(const Error& why) = 0;
};

/// Loop thread only. Destroying it closes at once, queued bytes are dropped.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Begins to read. `handler` must outlive the transport or the call of close().
  virtual void start(TransportHandler& handler) = 0;
  /// Takes the bytes: writes what the kernel accepts now, queues the rest (order kept). On return
  /// `bytes` is empty; it keeps its capacity when nothing had to be queued. Never fails by itself:
  /// a broken stream is told by on_closed.
  virtual void write(std::string& bytes) = 0;
  /// Bytes taken and not yet in the kernel. The caller bounds it; the transport does not.
  virtual size_t queued_bytes() const = 0;
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  /// Closes after what is queued has been written (flush = true; bounded by `deadline` inside), or at once.
  virtual void close(bool flush) = 0;
  /// "1.2.3.4:5678"; "" for the simulator's in-memory peers.
  virtual std::string peer_address() const = 0;
  /// False while a handshake of the stream itself (TLS) is under way.
  virtual bool established() const { return true; }
  /// nullptr without TLS, or before it is established. Lives as long as the transport.
  virtual const TlsPeer* tls() const { return nullptr; }
  /// Why close() will come, for streams that can say it to the peer (WebSocket's close frame).
  virtual void set_close_status(uint16_t code, std::string_view reason) {
    (void)code;
    (void)reason;
  }
};

class Listener {
 public:
  virtual ~Listener() = default;  ///< stops accepting
  virtual uint16_t port() const = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  /// Port 0 picks a free one. kIo with the address in words when it can't be bound.
  virtual Result<std::unique_ptr<Listener>> listen(
      const std::string& host, uint16_t port,
      std::move_only_function<void(std::unique_ptr<Transport>)> on_accept) = 0;
  /// Resolves and connects. `done` runs once, later; dropping the ticket cancels.
  virtual Ticket connect(const std::string& host, uint16_t port,
                         std::move_only_function<void(Result<std::unique_ptr<Transport>>)> done) = 0;
};

}  // namespace sluice
