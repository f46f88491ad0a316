// The NATS server: listens, owns the connections and the router they meet in.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "io/env.h"
#include "server/accounts.h"
#include "server/auth_failures.h"
#include "server/authenticator.h"
#include "server/connection.h"
#include "server/connection_info.h"
#include "server/counters.h"
#include "server/flush_list.h"
#include "server/imports.h"
#include "server/jwt_accounts.h"
#include "server/outbox.h"
#include "server/password_checks.h"
#include "server/reload.h"
#include "server/router.h"
#include "server/claims_services.h"
#include "server/jwt_directory.h"
#include "server/server_options.h"
#include "server/system_events.h"
#include "server/system_services.h"
#include "server/tracer.h"
#include "compression/compressed_transport.h"
#include "websocket/ws_acceptor.h"

namespace sluice {

/// How to leave.
struct DrainPlan {
  template <class Rep, class Period>
  DrainPlan(std::chrono::duration<Rep, Period> until_first,  // NOLINT: a grace alone is a plan
            std::chrono::nanoseconds from_first_to_last = {})
      : grace(until_first), spread(from_first_to_last) {}

  std::chrono::nanoseconds grace;   ///< between the notice and the first connection closed
  std::chrono::nanoseconds spread;  ///< time over which they are closed; 0 = all at once
};

/// Loop thread only. Destroying it cuts all connections at once; drain() first is the polite way.
class Server final : public ConnectionHost, public ServerControl {
 public:
  Server(Env& env, ServerOptions options);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Begins to accept clients. The errors of check_options(), or kIo when the address can't be
  /// bound. The bus works before that.
  Status start();
  /// Accepts nobody any more, tells clients that the server goes (INFO with `ldm`), and after the
  /// plan's grace closes each connection behind what is queued for it. `done` is posted then. Once.
  void drain(DrainPlan plan, std::move_only_function<void()> done);
  /// Closes at once those whom drain() left for later; nothing when there is none.
  void hurry_drain();

  /// Takes over what can change without a restart; clients that may no longer be here are cut.
  /// `fresh` has passed check_options(); its host and port are not looked at. Certificates are read
  /// again; when they can't be used that is the error, and nothing else has changed.
  Result<ReloadReport> reload(const ServerOptions& fresh);

  /// Called after an account was made or got other options while running.
  void on_account_changed(std::function<void(Account&)> listener) {
    account_changed_ = std::move(listener);
  }
  /// Who answers for the pages on $SYS.REQ; nullptr = nobody (any more).
  void set_system_host(SystemHost* host) { services_->set_host(host); }

  /// The bus of the global account.
  Bus& bus() { return accounts_.global().router(); }
  Accounts& accounts() { return accounts_; }
  const Accounts& accounts() const { return accounts_; }
  /// 0 before start().
  uint16_t port() const { return listener_ == nullptr ? 0 : listener_->port(); }
  /// 0 when there is no WebSocket listener.
  uint16_t websocket_port() const { return websocket_ == nullptr ? 0 : websocket_->port(); }
  /// Public key of this run, "N" and 55 characters.
  const std::string& id() const { return id_; }
  const std::string& name() const { return options_.server_name; }
  const ServerOptions& options() const { return options_; }

  // -- for the monitor
  ServerCounters counters() const;
  WallNanos start_time() const { return start_wall_; }
  size_t connection_count() const { return connections_.size(); }
  /// Of all accounts, those of the process itself included.
  size_t subscription_count() const;
  /// Added up over the accounts.
  InterestStats interest_stats() const;
  bool auth_required() const { return authenticator_.required(); }
  bool draining() const { return draining_; }
  // -- for leaf nodes
  const Authenticator& authenticator() const { return authenticator_; }
  PasswordChecks& passwords() { return passwords_; }
  Tracer& tracer() { return tracer_; }
  SystemEvents& events() { return *events_; }
  FlushList& flushes() { return flushes_; }
  HandshakeGate& handshakes() { return handshakes_; }
  const OutboxOptions& outbox_options() const { return outbox_options_; }
  uint64_t take_connection_id() { return ++last_id_; }

  /// By rising cid.
  std::vector<ConnectionInfo> connections() const;
  /// The last of those that have closed, oldest first.
  const std::deque<ConnectionInfo>& closed_connections() const { return closed_; }
  /// nullptr when there is none of that cid (any more). For this callback only.
  const Connection* connection(uint64_t cid) const override;
  // -- ServerControl
  bool kick(uint64_t cid) override;
  bool send_lame_duck(uint64_t cid) override;
  /// Who a client is, as JSON, for services and advisories; "" when it is gone or was none.
  LatencyClient client_info(uint64_t cid, bool everything) const;
  void collect(MetricSink& sink) const;
  /// Reads the TLS files again: for those who connect later, nobody is cut. After an error all
  /// stays as it was.
  Status reload_tls(const TlsListenerOptions& tls, bool allow_non_tls);
  /// The same for the WebSocket listener; nothing to do without one.
  Status reload_websocket_tls(const TlsListenerOptions& tls);

  // -- ConnectionHost
  std::string info_line(const Connection& connection, InfoKind kind) override;
  void on_connection_closed(Connection& connection) override;
  void on_connection_bound(Connection& connection) override;
  void on_connection_refused(Connection& connection, std::string_view user) override;
  std::string client_info_json(const Connection& connection) override;

 private:
  void accept(std::unique_ptr<Transport> transport);
  void make_system();
  std::string statsz_json() const;
  void update_accounts(const ServerOptions& options);
  void take_tokens();
  void check_clients_again();
  void check_again(Connection& connection, const JwtAuthority& authority);
  void cut_surplus_of(Account& account);
  void collect_routers(MetricSink& sink) const;
  void collect_compression(MetricSink& sink) const;
  void begin_session(std::unique_ptr<Transport> transport, ConnectionKind kind,
                     std::unique_ptr<const WsCookies> cookies, bool throttled);
  Status start_websocket();
  void cut_those_who_may_not_stay(const std::vector<Connection*>& all, const ServerOptions& before);
  void renew_identities(const std::vector<Connection*>& all);
  void cut_surplus(const std::vector<Connection*>& all);
  void close_spread(std::chrono::nanoseconds spread);
  void close_some(std::chrono::nanoseconds gap, size_t at_once);
  void finish_drain();
  void close_all();
  void reap();

  Env& env_;
  ServerOptions options_;
  const std::string id_;
  const WallNanos start_wall_;
  const Status fine_;  ///< what check_options() says; start() fails with it
  std::unique_ptr<JwtDirectory> directory_;  ///< of the tokens, null without
  std::unique_ptr<JwtAccounts> jwts_;        ///< in operator mode
  OutboxOptions outbox_options_;
  ServerCounters counters_;
  Accounts accounts_;
  Imports imports_;
  Authenticator authenticator_;
  PasswordChecks passwords_;
  AuthFailures auth_failures_;
  FlushList flushes_;
  HandshakeGate handshakes_;
  TlsAcceptor tls_;
  CompressionWorld compression_;
  Tracer tracer_;
  std::unique_ptr<WsAcceptor> websocket_;  ///< null without
  ConnectionWorld world_;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>>
      dead_;  ///< closed in this round, maybe still on the stack
  std::deque<ConnectionInfo> closed_;
  std::string advertised_host_;
  uint16_t advertised_port_ = 0;  ///< 0 = the listener's
  uint64_t last_id_ = 0;
  bool draining_ = false;
  std::move_only_function<void()> drained_;
  std::unique_ptr<Timer> drain_timer_;
  std::function<void(Account&)> account_changed_;
  std::unique_ptr<SystemEvents> events_;
  std::unique_ptr<SystemServices> services_;
  std::unique_ptr<ClaimsServices> claims_;  ///< in operator mode
  std::unique_ptr<Timer> tokens_timer_;     ///< until one of them ends
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<Server*> self_;  ///< null once destroyed; posted tasks look
};

}  // namespace sluice
