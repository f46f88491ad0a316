// TLS of one listener: its certificates, which may be replaced while sessions live, and its policy.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "base/error.h"
#include "crypto/handshake_gate.h"
#include "crypto/tls_context.h"
#include "crypto/tls_transport.h"
#include "io/clock.h"
#include "io/timers.h"

namespace sluice {

/// A `tls` block of nats-server's configuration, as far as a listener follows it.
struct TlsListenerOptions : TlsServerOptions {
  std::chrono::nanoseconds timeout = std::chrono::seconds(2);
  bool handshake_first = false;
  /// With handshake_first: greet in clear after so long without a hello; 0 = never.
  std::chrono::nanoseconds first_fallback{0};
  uint64_t connection_rate_limit = 0;  ///< handshakes begun in one second; 0 = without limit
};

/// Loop thread only; outlives its streams.
class TlsAcceptor {
 public:
  TlsAcceptor(Clock& clock, Timers& timers, HandshakeGate& gate)
      : clock_(clock), world_{timers, gate} {}

  /// Reads the files, again too: later streams use what is there then, earlier ones keep theirs.
  /// After an error everything stays as it was. @param optional peers may stay in clear.
  Status load(const TlsListenerOptions& options, bool optional);
  bool enabled() const { return context_ != nullptr; }
  bool optional() const { return policy_.optional; }
  bool verifies() const { return verifies_; }
  /// Of the certificates in use; 0 = not enabled.
  WallNanos not_after() const { return context_ == nullptr ? 0 : context_->not_after(); }
  /// Counts one more handshake; false = more than connection_rate_limit in this second.
  bool admit();
  std::unique_ptr<Transport> wrap(std::unique_ptr<Transport> plain) {
    return accept_tls(std::move(plain), context_, policy_, world_);
  }

 private:
  Clock& clock_;
  TlsAcceptWorld world_;
  std::shared_ptr<TlsServerContext> context_;
  TlsAcceptPolicy policy_;
  bool verifies_ = false;
  uint64_t rate_limit_ = 0;
  MonoTime second_begin_{0};
  uint64_t in_second_ = 0;
};

}  // namespace sluice
