#include "server/system_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/nuid.h"
#include "server/version.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds kStatszEvery = 10s;
constexpr std::chrono::nanoseconds kAccountsEvery = 30s;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string traffic(std::string_view name, uint64_t messages, uint64_t bytes) {
  constexpr std::string_view kNone = R"({"msgs":0,"bytes":0})";
  return fmt::format(R"("{}":{{"msgs":{},"bytes":{},"gateways":{},"routes":{},"leafs":{}}})", name,
                     messages, bytes, kNone, kNone, kNone);
}

}  // namespace

SystemEvents::SystemEvents(Env& env, Accounts& accounts, const ServerOptions& options,
                           const std::string& id, std::function<std::string()> statsz)
    : env_(env),
      accounts_(accounts),
      options_(options),
      id_(id),
      statsz_(std::move(statsz)),
      timer_(env.timers.make([this] { tick(); })) {
  timer_->start(interval_);
}

std::string SystemEvents::now_text() const { return format_rfc3339(env_.clock.wall()); }

std::string SystemEvents::server_json() {
  Json json{{"name", options_.server_name}, {"host", options_.host}, {"id", id_}};
  if (!options_.domain.empty()) json["domain"] = options_.domain;
  json["ver"] = kCompatVersion;
  if (!options_.tags.empty()) json["tags"] = options_.tags;
  if (!options_.metadata.empty()) json["metadata"] = options_.metadata;
  json["jetstream"] = options_.jetstream;
  json["flags"] = options_.jetstream ? 1 : 0;
  json["seq"] = ++sequence_;
  json["time"] = now_text();
  return text_of(json);
}

std::string SystemEvents::event_json(std::string_view type, std::string_view members) {
  return fmt::format(
      R"({{"type":"io.nats.server.advisory.v1.{}","id":"{}","timestamp":"{}","server":{},{}}})",
      type, make_nuid([this] { return env_.random.u64(); }), now_text(), server_json(), members);
}

void SystemEvents::publish(const std::string& subject, const std::function<std::string()>& body) {
  Router& router = accounts_.system().router();
  if (!router.has_interest(subject, {})) return;
  const std::string text = body();
  router.publish(Message{.subject = subject, .reply = {}, .headers = {}, .payload = text});
}

std::string SystemEvents::client_json(const Connection& connection, std::string_view user,
                                      bool stopped) const {
  Json json;
  json["start"] = format_rfc3339(connection.start_wall());
  if (!connection.ip().empty()) json["host"] = connection.ip();
  json["id"] = connection.id();
  json["acc"] = connection.account().name();
  if (!user.empty()) json["user"] = user;
  if (!connection.name().empty()) json["name"] = connection.name();
  if (!connection.lang().empty()) json["lang"] = connection.lang();
  if (!connection.version().empty()) json["ver"] = connection.version();
  if (connection.rtt().count() != 0) json["rtt"] = connection.rtt().count();
  if (stopped) json["stop"] = now_text();
  const Identity* identity = connection.identity().get();
  if (identity != nullptr && !identity->jwt.empty()) json["jwt"] = identity->jwt;
  if (identity != nullptr && !identity->issuer_key.empty()) json["issuer_key"] = identity->issuer_key;
  json["name_tag"] = connection.account().display_name();
  if (identity != nullptr && !identity->tags.empty()) json["tags"] = identity->tags;
  json["kind"] = "Client";
  json["client_type"] = connection.websocket() ? "websocket" : "nats";
  return text_of(json);
}

std::string SystemEvents::account_members(const Account& account) {
  const AccountCounters& c = account.counters;
  return fmt::format(
      R"("acc":{},"name":{},"conns":{},"leafnodes":{},"total_conns":{},"num_subscriptions":{},{},{},"slow_consumers":{})",
      text_of(Json(account.name())), text_of(Json(account.display_name())), account.connections,
      account.leaf_connections, account.connections + account.leaf_connections,
      account.router().subscription_count(), traffic("sent", c.out_msgs, c.out_bytes),
      traffic("received", c.in_msgs, c.in_bytes), c.slow_consumers);
}

std::string SystemEvents::account_connections_json(const Account& account) {
  return event_json("account_connections", account_members(account));
}

void SystemEvents::tell_connections(const Account& account) {
  const auto body = [&] { return account_connections_json(account); };
  publish(fmt::format("$SYS.SERVER.ACCOUNT.{}.CONNS", account.name()), body);
  publish(fmt::format("$SYS.ACCOUNT.{}.SERVER.CONNS", account.name()), body);
}

void SystemEvents::connected(const Connection& connection) {
  tell_connections(connection.account());
  publish(fmt::format("$SYS.ACCOUNT.{}.CONNECT", connection.account().name()), [&] {
    return event_json("client_connect",
                      fmt::format(R"("client":{})", client_json(connection, connection.user(), false)));
  });
}

/// Seen from the client: what it received, the server sent.
std::string SystemEvents::farewell(const Connection& c, std::string_view user,
                                   CloseReason reason) const {
  return fmt::format(
      R"("client":{},"sent":{{"msgs":{},"bytes":{}}},"received":{{"msgs":{},"bytes":{}}},"reason":"{}")",
      client_json(c, user, true), c.in_msgs(), c.in_bytes(), c.out_msgs(), c.out_bytes(),
      to_string(reason));
}

void SystemEvents::disconnected(const Connection& connection) {
  tell_connections(connection.account());
  publish(fmt::format("$SYS.ACCOUNT.{}.DISCONNECT", connection.account().name()), [&] {
    return event_json("client_disconnect", farewell(connection, connection.user(), connection.close_reason()));
  });
}

void SystemEvents::refused(const Connection& connection, std::string_view user) {
  const auto body = [&] {
    return event_json("client_disconnect",
                      farewell(connection, user, CloseReason::kAuthenticationFailure));
  };
  publish(fmt::format("$SYS.SERVER.{}.CLIENT.AUTH.ERR", id_), body);
  publish(fmt::format("$SYS.ACCOUNT.{}.DISCONNECT", connection.account().name()), body);
}

std::string SystemEvents::link_json(const LinkEvent& link, bool stopped) const {
  Json json;
  json["start"] = format_rfc3339(link.start);
  json["host"] = link.ip;
  json["id"] = link.id;
  json["acc"] = link.account == nullptr ? std::string("N/A") : link.account->name();
  if (!link.user.empty()) json["user"] = link.user;
  if (!link.name.empty()) json["name"] = link.name;
  if (!link.version.empty()) json["ver"] = link.version;
  if (link.rtt.count() != 0) json["rtt"] = link.rtt.count();
  if (stopped) json["stop"] = now_text();
  if (link.account != nullptr) json["name_tag"] = link.account->display_name();
  json["kind"] = "Leafnode";
  return text_of(json);
}

/// Seen from the other side, as of clients.
std::string SystemEvents::link_farewell(const LinkEvent& link, CloseReason reason) const {
  return fmt::format(
      R"("client":{},"sent":{{"msgs":{},"bytes":{}}},"received":{{"msgs":{},"bytes":{}}},"reason":"{}")",
      link_json(link, true), link.in_msgs, link.in_bytes, link.out_msgs, link.out_bytes,
      to_string(reason));
}

void SystemEvents::link_opened(const LinkEvent& link, bool dialled) {
  tell_connections(*link.account);
  if (!dialled) return;
  publish(fmt::format("$SYS.ACCOUNT.{}.CONNECT", link.account->name()), [&] {
    return event_json("client_connect", fmt::format(R"("client":{})", link_json(link, false)));
  });
}

void SystemEvents::link_closed(const LinkEvent& link, CloseReason reason) {
  tell_connections(*link.account);
  publish(fmt::format("$SYS.ACCOUNT.{}.DISCONNECT", link.account->name()),
          [&] { return event_json("client_disconnect", link_farewell(link, reason)); });
}

void SystemEvents::link_refused(const LinkEvent& link) {
  publish(fmt::format("$SYS.SERVER.{}.CLIENT.AUTH.ERR", id_), [&] {
    return event_json("client_disconnect", link_farewell(link, CloseReason::kAuthenticationFailure));
  });
}

void SystemEvents::lame_duck() {
  publish(fmt::format("$SYS.SERVER.{}.LAMEDUCK", id_), [this] { return server_json(); });
}

void SystemEvents::shut_down() {
  timer_->stop();
  publish(fmt::format("$SYS.SERVER.{}.SHUTDOWN", id_), [this] { return server_json(); });
}

/// The figures: soon after the start, then less and less often.
void SystemEvents::tick() {
  publish(fmt::format("$SYS.SERVER.{}.STATSZ", id_), [this] {
    return fmt::format(R"({{"server":{},"statsz":{}}})", server_json(), statsz_());
  });
  const MonoTime now = env_.clock.now();
  if (now - told_accounts_ >= kAccountsEvery) {
    told_accounts_ = now;
    accounts_.each([this](const Account& account) {
      if (account.connections > 0) tell_connections(account);
    });
  }
  interval_ = std::min(interval_ * 2, kStatszEvery);
  timer_->start(interval_);
}

}  // namespace sluice
