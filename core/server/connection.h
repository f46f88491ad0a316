// One client's session: bytes in → operations → router; messages of its subscriptions → outbox.
//
// Happy path: INFO at once; CONNECT (checked), SUB, PUB … in any order; PING answered behind all
// that was queued before. Failures: each protocol error sends its -ERR text (or none) and closes; a
// client that doesn't read is cut at max_pending or at the write deadline; one that doesn't answer
// PINGs is stale. Texts, defaults and order are those of nats-server, as its clients depend on
// them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ticket.h"
#include "io/clock.h"
#include "io/random.h"
#include "io/timers.h"
#include "io/transport.h"
#include "server/account.h"
#include "server/accounts.h"
#include "server/auth_failures.h"
#include "server/authenticator.h"
#include "server/connection_info.h"
#include "server/counters.h"
#include "server/outbox.h"
#include "server/password_checks.h"
#include "server/permissions.h"
#include "server/router.h"
#include "server/server_options.h"
#include "wire/info_connect.h"
#include "wire/parser.h"
#include "websocket/ws_upgrade.h"

namespace sluice {

class Connection;
class TracedMessage;
class Tracer;
struct TracedIngress;

/// A client's SUB.
class ClientSubscription final : public Subscription {
 public:
  ClientSubscription(Connection& connection, const SubOp& op);
  bool take(const Message& message, const Origin& origin) override;
  bool congested() const override;

  const std::string& sid() const { return sid_; }

 private:
  friend class Connection;
  Connection& connection_;
  const std::string sid_;
  uint64_t delivered_ = 0;
  uint64_t max_ = 0;  ///< deliveries after which it ends; 0 = without limit
  bool filtered_ = false;  ///< some of what it matches is denied
};

enum class InfoKind : uint8_t { kGreeting, kConnected, kLameDuck };

/// Whoever owns the connections.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  virtual std::string info_line(const Connection& connection, InfoKind kind) = 0;
  /// It logged in (again), or was refused.
  virtual void on_connection_bound(Connection& connection) = 0;
  virtual void on_connection_refused(Connection& connection, std::string_view user) = 0;
  virtual std::string client_info_json(const Connection& connection) = 0;
  /// Told once. Must not destroy the connection before a later callback.
  virtual void on_connection_closed(Connection& connection) = 0;
};

/// What all connections share; outlives them.
struct ConnectionWorld {
  const ServerOptions& options;
  const OutboxOptions& outbox;
  const Authenticator& authenticator;
  Accounts& accounts;
  PasswordChecks& passwords;
  AuthFailures& auth_failures;
  Clock& clock;
  Timers& timers;
  Random& random;
  FlushList& flushes;
  ServerCounters& counters;
  Tracer& tracer;
  ConnectionHost& host;
};

/// Loop thread only. Closed before it is destroyed.
class Connection final : public TransportHandler, public Outbox::Owner {
 public:
  /// @param cookies  of a WebSocket client's handshake, null for others: they stand for what
  ///   CONNECT leaves out.
  Connection(ConnectionWorld& world, uint64_t id, std::unique_ptr<Transport> transport,
             ConnectionKind kind = ConnectionKind::kStandard,
             std::unique_ptr<const WsCookies> cookies = nullptr);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Greets and begins to read.
  void start();
  /// Ends the session; the -ERR goes out first when `error_text` is not empty.
  void close(CloseReason reason, std::string_view error_text);
  /// The options it refers to are others now.
  void options_changed();
  /// Its user is the same, but what the user may do is another thing now: subscriptions that are no
  /// longer allowed are dropped, each with an -ERR.
  void change_identity(IdentityPtr identity);
  /// An INFO outside the order of things; only clients that can take one get it.
  void send_async_info(InfoKind kind);

  uint64_t id() const { return id_; }
  const std::string& ip() const { return ip_; }
  /// As it logged in; nullptr before that, when it must.
  const IdentityPtr& identity() const { return identity_; }
  std::string_view user() const {
    return identity_ == nullptr ? std::string_view() : std::string_view(identity_->user);
  }
  /// Where its subscriptions and messages live.
  Account& account() const { return *account_; }
  ConnectionKind kind() const { return kind_; }
  const std::string& nonce() const { return nonce_; }
  /// Largest message it may send.
  size_t max_payload() const;
  const std::string& name() const { return name_; }
  const std::string& lang() const { return lang_; }
  const std::string& version() const { return version_; }
  WallNanos start_wall() const { return start_wall_; }
  std::chrono::nanoseconds rtt() const { return rtt_; }
  uint64_t in_msgs() const { return in_msgs_; }
  uint64_t in_bytes() const { return in_bytes_; }
  uint64_t out_msgs() const { return out_msgs_; }
  uint64_t out_bytes() const { return out_bytes_; }
  /// Until its identity ends; negative = it never does.
  std::chrono::nanoseconds expires_in() const;
  /// It has been a client of an account.
  bool was_bound() const { return counted_in_ != nullptr; }
  /// It has logged in where that is needed, and counts as a client of its account.
  bool bound() const { return bound_; }
  bool open() const { return state_ != State::kClosed; }
  bool websocket() const { return kind_ == ConnectionKind::kWebSocket; }
  bool congested() const { return outbox_.congested(); }
  bool reading_paused() const { return paused_; }
  CloseReason close_reason() const { return close_reason_; }
  ConnectionInfo info() const;
  std::vector<std::string> subscribed_subjects() const;
  std::vector<SubscriptionInfo> subscription_infos() const;

  /// `{"start":…,"host":…,"id":…,"acc":…,"user":…,"name":…,"lang":…,"ver":…,"rtt":…,"server":…,…}`:
  /// the ClientInfo of nats-server's events and of the header Nats-Request-Info. Empty fields are
  /// left out.
  std::string client_info_json() const { return world_.host.client_info_json(*this); }
  /// The same for a service that may not know who asks: account and round trip.
  std::string client_account_json() const;

  // -- for its subscriptions
  bool take(ClientSubscription& subscription, const Message& message, const Origin& origin);

  // -- for the parser
  bool on_connect(std::string_view json);
  bool on_pub(const PubOp& op);
  bool on_sub(const SubOp& op);
  bool on_unsub(const UnsubOp& op);
  bool on_ping();
  bool on_pong();
  void on_error(WireError error);
  void on_oversized(const PubOp& op, size_t size_bytes);

  // -- TransportHandler, Outbox::Owner
  void on_bytes(std::string_view bytes) override;
  void on_established() override;
  void on_drained() override { outbox_.on_drained(); }
  void on_closed(const Error& why) override;
  void on_congestion(bool congested) override;
  void on_stuck() override { world_.accounts.congestion().wake_waiting(); }
  void on_write_deadline() override;

 private:
  enum class State : uint8_t { kGreeted, kConnected, kClosed };  ///< kGreeted: no CONNECT yet

  /// What the one timer is about.
  enum class Waiting : uint8_t { kLogin, kPings, kPassword, kRefusal };

  bool log_in(const ConnectOptions& options);
  bool check_password(const ConnectOptions& options, AuthAnswer answer);
  void on_password_checked(bool matches);
  bool refuse(const ConnectOptions& options);
  bool accept_connect(const ConnectOptions& options, IdentityPtr identity);
  bool bind(IdentityPtr identity);
  void unbind();
  void take_identity(IdentityPtr identity);
  void on_expired();
  bool publish(const PubOp& op, std::string_view headers, TracedMessage* trace);
  bool publish_traced(const PubOp& op);
  TracedIngress ingress_of(const PubOp& op, size_t size_bytes) const;
  bool refuse_publish(std::string_view subject, std::string_view reply, TracedMessage* trace);
  const char* withholds(const ClientSubscription& subscription, const Message& message, bool own);
  bool may_subscribe(const SubOp& op);
  void answer_no_responders(std::string_view reply, std::string_view subject);
  void pause_reading();
  void resume_reading();
  void drop(ClientSubscription& subscription);
  void drop_all_subscriptions();
  void send(std::string_view bytes);
  void send_error(std::string_view text);
  void cut_slow_consumer();
  void on_timer();
  void on_ping_tick();
  void start_ping_timer(bool first);
  void start_greeting_timer();

  ConnectionWorld& world_;
  const uint64_t id_;
  std::unique_ptr<Transport> transport_;
  const std::unique_ptr<const WsCookies> cookies_;
  const std::chrono::nanoseconds ping_interval_;
  Outbox outbox_;
  Parser parser_;

  State state_ = State::kGreeted;
  CloseReason close_reason_ = CloseReason::kClientClosed;
  // What CONNECT says; until then, and for keys that it leaves out, the defaults of the protocol.
  bool verbose_ = true;
  bool pedantic_ = true;
  bool echo_ = true;
  bool headers_ = false;
  bool no_responders_ = false;
  bool async_info_ = false;  ///< protocol 1
  bool second_info_sent_ = false;
  bool active_ = false;  ///< something but PONG came since the last look at the clock
  bool paused_ = false;
  bool established_ = false;  ///< the transport's own handshake is done

  std::string ip_;
  uint16_t port_ = 0;
  const ConnectionKind kind_;
  Waiting waiting_ = Waiting::kPings;
  bool bound_ = false;
  Account* account_;  ///< the global one until it has logged in
  Account* counted_in_ = nullptr;
  IdentityPtr identity_;
  std::unique_ptr<PermissionState> permissions_;  ///< nullptr = everything is allowed
  std::string nonce_;
  /// A CONNECT whose password is being checked, who it would be, and what came behind it.
  struct Login {
    ConnectOptions options;
    IdentityPtr identity;
    std::string held;
  };
  std::unique_ptr<Login> login_;
  std::shared_ptr<Connection*> self_;  ///< made when a password is checked; null once destroyed
  std::string name_;
  std::string lang_;
  std::string version_;

  /// Keys are views of the subscriptions' sids.
  std::unordered_map<std::string_view, ClientSubscription*> subscriptions_;

  WallNanos start_wall_;
  MonoTime start_;
  MonoTime last_in_;
  MonoTime ping_sent_{0};  ///< 0 = never
  std::chrono::nanoseconds rtt_{0};
  uint32_t pings_out_ = 0;
  uint64_t in_msgs_ = 0;
  uint64_t in_bytes_ = 0;
  uint64_t out_msgs_ = 0;
  uint64_t out_bytes_ = 0;

  std::unique_ptr<Timer> timer_;  ///< authentication first, then PINGs
  std::unique_ptr<Timer> expiry_timer_;  ///< of an identity that ends
  std::unique_ptr<Timer> pause_timer_;
  Ticket relief_;
};

}  // namespace sluice
