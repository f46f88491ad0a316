#include "server/reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <map>
#include <string_view>

#include "base/time_format.h"

namespace sluice {
namespace {

std::string shown(const std::string& text) { return text; }
std::string shown(bool on) { return on ? "true" : "false"; }
template <std::integral T>
std::string shown(T number) {
  return std::to_string(number);
}
std::string shown(std::chrono::nanoseconds time) { return format_go_duration(time); }
std::string shown(const std::vector<std::string>& texts) {
  return fmt::format("[{}]", fmt::join(texts, " "));
}
std::string shown(const std::map<std::string, std::string>& texts) {
  std::string out;
  for (const auto& [key, value] : texts)
    out += fmt::format("{}{}:{}", out.empty() ? "" : " ", key, value);
  return "map[" + out + "]";
}
struct Row {
  std::string_view name;
  std::string_view reference_field;
  bool reloadable;
  bool (*differs)(const ServerOptions&, const ServerOptions&);
  std::string (*text)(const ServerOptions&);
  void (*take)(ServerOptions&, const ServerOptions&);
};

/// Of what holds secrets, or is too long to show, only that it differs is told.
template <auto kMember, bool kIsSecret = false>
constexpr Row row(std::string_view name, std::string_view field, bool reloadable = true) {
  return {
      name,
      field,
      reloadable,
      [](const ServerOptions& a, const ServerOptions& b) { return !(a.*kMember == b.*kMember); },
      []([[maybe_unused]] const ServerOptions& o) {
        if constexpr (kIsSecret)
          return std::string("…");
        else
          return shown(o.*kMember);
      },
      [](ServerOptions& to, const ServerOptions& from) { to.*kMember = from.*kMember; }};
}

using O = ServerOptions;
constexpr bool kFixed = false;
constexpr bool kSecret = true;
constexpr Row kRows[] = {
    row<&O::server_name>("server_name", "ServerName", kFixed),
    row<&O::user, kSecret>("user", "Username"),
    row<&O::password, kSecret>("password", "Password"),
    row<&O::token, kSecret>("token", "Authorization"),
    row<&O::users, kSecret>("users", "Users"),
    row<&O::no_auth_user>("no_auth_user", "NoAuthUser"),
    row<&O::default_permissions, kSecret>("default_permissions", "DefaultPermissions"),
    row<&O::mappings, kSecret>("mappings", "Mappings"),
    row<&O::accounts, kSecret>("accounts", "Accounts"),
    row<&O::operator_mode, kSecret>("operator", "TrustedOperators", kFixed),
    row<&O::system_account>("system_account", "SystemAccount", kFixed),
    row<&O::max_payload>("max_payload", "MaxPayload"),
    row<&O::max_control_line>("max_control_line", "MaxControlLine"),
    row<&O::max_pending>("max_pending", "MaxPending"),
    row<&O::max_connections>("max_connections", "MaxConn"),
    row<&O::max_subscriptions>("max_subscriptions", "MaxSubs"),
    row<&O::max_subject_tokens>("max_sub_tokens", "MaxSubTokens"),
    row<&O::max_closed_connections>("max_closed_clients", "MaxClosedClients"),
    row<&O::ping_interval>("ping_interval", "PingInterval"),
    row<&O::ping_max>("ping_max", "MaxPingsOut"),
    row<&O::auth_timeout>("auth_timeout", "AuthTimeout"),
    row<&O::write_deadline>("write_deadline", "WriteDeadline"),
    row<&O::max_read_pause>("max_read_pause", "MaxReadPause"),
    row<&O::headers>("headers", "NoHeaderSupport", kFixed),
    row<&O::no_fast_producer_stall>("no_fast_producer_stall", "NoFastProducerStall"),
    row<&O::tags>("server_tags", "Tags"),
    row<&O::metadata>("server_metadata", "Metadata"),
    row<&O::client_advertise>("client_advertise", "ClientAdvertise"),
    row<&O::jetstream>("jetstream", "JetStream", kFixed),
    row<&O::domain>("domain", "JetStreamDomain", kFixed),
    row<&O::lenient_requests>("lenient_requests", "NoJetStreamStrict", kFixed),
};

/// An account that has JetStream and is to have none: that needs a restart.
const AccountOptions* find_waiting_jetstream(const ServerOptions& running, const ServerOptions& fresh) {
  for (const AccountOptions& before : running.accounts) {
    const auto after = std::ranges::find(fresh.accounts, before.name, &AccountOptions::name);
    if (before.jetstream && after != fresh.accounts.end() && !after->jetstream)
      return &before;
  }
  return nullptr;
}

}  // namespace

ReloadReport compare_options(const ServerOptions& running, const ServerOptions& fresh) {
  ReloadReport out;
  for (const Row& row : kRows) {
    if (!row.differs(running, fresh)) continue;
    (row.reloadable ? out.applied : out.waiting)
        .push_back({.name = std::string(row.name),
                    .reference_field = std::string(row.reference_field),
                    .before = row.text(running),
                    .after = row.text(fresh)});
  }
  if (const AccountOptions* account = find_waiting_jetstream(running, fresh); account != nullptr) {
    out.waiting.push_back({.name = "accounts.jetstream",
                           .reference_field = "JetStreamLimits of account " + account->name,
                           .before = "…",
                           .after = "…"});
  }
  return out;
}

void take_reloadable(ServerOptions& running, const ServerOptions& fresh) {
  for (const Row& row : kRows) {
    if (row.reloadable) row.take(running, fresh);
  }
}

}  // namespace sluice
