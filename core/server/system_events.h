// What the server says of itself in the system account: clients and links that come and go, refused logins,
// connections of accounts, its own figures.
//
// Made only when somebody listens. Shapes are those of nats-server's events.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/env.h"
#include "server/accounts.h"
#include "server/connection.h"

namespace sluice {

/// A link to another server, as its events show it. Views for the call only.
struct LinkEvent {
  const Account* account = nullptr;  ///< nullptr = it got into none
  uint64_t id = 0;
  WallNanos start = 0;
  std::string_view ip = {};
  std::string_view user = {};
  std::string_view name = {};     ///< of the other server, as its CONNECT says
  std::string_view version = {};  ///< the same
  std::chrono::nanoseconds rtt{0};
  uint64_t in_msgs = 0;
  uint64_t in_bytes = 0;
  uint64_t out_msgs = 0;
  uint64_t out_bytes = 0;
};

/// Loop thread only. What it refers to outlives it.
class SystemEvents {
 public:
  /// @param statsz gives the members of the server's figures as a JSON object
  SystemEvents(Env& env, Accounts& accounts, const ServerOptions& options, const std::string& id,
               std::function<std::string()> statsz);

  void connected(const Connection& connection);
  void disconnected(const Connection& connection);
  /// `user`: the name that it gave.
  void refused(const Connection& connection, std::string_view user);
  /// @param dialled  by us: only then a CONNECT is told, as by nats-server
  void link_opened(const LinkEvent& link, bool dialled);
  void link_closed(const LinkEvent& link, CloseReason reason);
  void link_refused(const LinkEvent& link);
  void lame_duck();
  void shut_down();

  /// `{"name":…,"host":…,"id":…,"ver":…,…,"seq":…,"time":…}`, one further in the sequence.
  std::string server_json();
  /// `"acc":…,"name":…,"conns":…,…`: the figures of an account, without braces.
  static std::string account_members(const Account& account);
  /// The figures with the head of an advisory.
  std::string account_connections_json(const Account& account);
  std::string now_text() const;

 private:
  std::string client_json(const Connection& connection, std::string_view user, bool stopped) const;
  std::string link_json(const LinkEvent& link, bool stopped) const;
  std::string link_farewell(const LinkEvent& link, CloseReason reason) const;
  std::string farewell(const Connection& connection, std::string_view user, CloseReason reason) const;
  /// `{"type":…,"id":…,"timestamp":…,"server":{…},<members>}`
  std::string event_json(std::string_view type, std::string_view members);
  /// Publishes in the system account when somebody listens there.
  void publish(const std::string& subject, const std::function<std::string()>& body);
  void tell_connections(const Account& account);
  void tick();

  Env& env_;
  Accounts& accounts_;
  const ServerOptions& options_;
  const std::string& id_;
  std::function<std::string()> statsz_;
  uint64_t sequence_ = 0;
  std::chrono::nanoseconds interval_{std::chrono::milliseconds(250)};
  MonoTime told_accounts_{0};
  std::unique_ptr<Timer> timer_;
};

}  // namespace sluice
