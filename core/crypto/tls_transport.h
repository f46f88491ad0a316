// TLS around a byte stream, either side. The session on top can't tell.
//
// A client's stream passes bytes through until begin_tls(). A server's stream follows a policy: NATS
// greets in clear and then expects the client's handshake, or expects it first.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "crypto/handshake_gate.h"
#include "crypto/tls_context.h"
#include "io/timers.h"
#include "io/transport.h"

namespace sluice {

/// Passes bytes through until begin_tls(); from then on they are the inside of a TLS stream.
class UpgradableTransport : public Transport {
 public:
  /// The handshake starts at once; what is written meanwhile is sent after it. A failed handshake
  /// is told by on_closed. `server_name` is a host name or an address. At most once.
  virtual void begin_tls(std::shared_ptr<TlsClientContext> context,
                         const std::string& server_name) = 0;
};

std::unique_ptr<UpgradableTransport> make_upgradable(std::unique_ptr<Transport> plain);

/// How a server's side comes to its handshake. Source: nats-server 2.15's `tls` block.
struct TlsAcceptPolicy {
  /// False: the first write (the greeting) goes out in clear, then the peer must begin.
  bool handshake_first = false;
  /// With handshake_first: a peer that says nothing for so long is greeted in clear; 0 = never.
  std::chrono::nanoseconds first_fallback{0};
  /// A peer may stay in clear: its first byte decides, or its silence until `timeout`.
  bool optional = false;
  /// From the greeting (or the start) until the handshake is done.
  std::chrono::nanoseconds timeout = std::chrono::seconds(2);
};

/// What a listener's TLS streams share; outlives them.
struct TlsAcceptWorld {
  Timers& timers;
  HandshakeGate& gate;
};

/// A failed or late handshake is told by on_closed with kDenied or kTimeout, before on_established.
std::unique_ptr<Transport> accept_tls(std::unique_ptr<Transport> plain,
                                      std::shared_ptr<TlsServerContext> context,
                                      const TlsAcceptPolicy& policy, const TlsAcceptWorld& world);

}  // namespace sluice
