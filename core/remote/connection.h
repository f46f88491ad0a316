// One connection to one server, from dialling until it is lost. RemoteLink makes a new one each
// time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "client/link_options.h"
#include "client/nats_link.h"
#include "compression/dictionaries.h"
#include "io/env.h"
#include "remote/handshake.h"
#include "remote/server_url.h"
#include "crypto/tls_transport.h"

namespace sluice {

class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  /// The server has accepted us. Once.
  virtual void on_ready() = 0;
  /// Views are for the call only. May destroy the connection.
  virtual void on_message(std::string_view sid, const LinkMessage& message) = 0;
  /// The server's INFO, the first and later ones.
  virtual void on_server_info(const ServerInfo& info) = 0;
  /// Could not connect, was refused, or broke. Once, the last call. The connection must not be
  /// destroyed inside it.
  virtual void on_lost(const Error& why) = 0;
};

/// Loop thread only. Destroying it closes at once.
///
/// Happy path: dial → INFO → (TLS) → CONNECT and PING → PONG → ready; with tls_first the handshake stands before INFO. All of it within the options'
/// connect_timeout. Then our PINGs find a dead peer; none are counted while reading is stopped.
class RemoteConnection {
 public:
  virtual ~RemoteConnection() = default;
  /// `tls` null: one is made from the options when the server demands TLS. `dictionaries` outlives it.
  static std::unique_ptr<RemoteConnection> open(Env& env, const LinkOptions& options,
                                          const ServerUrl& server,
                                          std::shared_ptr<TlsClientContext> tls,
                                          Dictionaries& dictionaries, ConnectionHandler& handler);

  /// After on_ready. kFull: the send buffer is full; kInvalidArgument: larger than the server
  /// takes.
  virtual Status publish(const LinkMessage& message) = 0;
  virtual void subscribe(std::string_view subject, std::string_view queue, uint64_t sid) = 0;
  virtual void unsubscribe(uint64_t sid) = 0;
  /// No on_message after this until resume_reading(), which goes on in a later callback.
  virtual void stop_reading() = 0;
  virtual void resume_reading() = 0;
  /// Of this connection.
  virtual LinkTraffic traffic() const = 0;
};

}  // namespace sluice
