// A running server takes over a fresh configuration: limits and times at once, and who may stay.
#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "base/log.h"
#include "server/operator_mode.h"
#include "server/server.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};

const UserOptions* find_user(const ServerOptions& options, std::string_view name) {
  const auto found = std::ranges::find_if(options.users, [&](const UserOptions& user) {
    return user.nkey.empty() ? user.user == name : user.nkey == name;
  });
  return found == options.users.end() ? nullptr : &*found;
}

/// A user of an account, and the account.
struct Home {
  const AccountOptions* account = nullptr;
  const UserOptions* user = nullptr;
};

Home find_home(const ServerOptions& options, std::string_view name) {
  for (const AccountOptions& account : options.accounts) {
    for (const UserOptions& user : account.users) {
      if ((user.nkey.empty() ? user.user : user.nkey) == name) return {&account, &user};
    }
  }
  return {};
}

/// The same account, the same secret, the same leave.
bool same_home(const Home& before, const Home& after) {
  return after.user != nullptr && *before.user == *after.user &&
         before.account->name == after.account->name &&
         before.account->default_permissions == after.account->default_permissions;
}

/// Whether a client that came in as `name` under `before` would come in under `after` as the same,
/// with what it showed then.
bool may_stay(std::string_view name, const ServerOptions& before, const ServerOptions& after) {
  if (const UserOptions* old_user = find_user(before, name)) {
    const UserOptions* new_user = find_user(after, name);
    // It may have shown nothing, and be known as the user of those who do.
    if (name == before.no_auth_user && before.no_auth_user != after.no_auth_user) return false;
    return new_user != nullptr && *old_user == *new_user &&
           before.default_permissions == after.default_permissions;
  }
  if (!before.user.empty() && name == before.user)
    return before.user == after.user && before.password == after.password;
  if (const Home home = find_home(before, name); home.user != nullptr) {
    if (name == before.no_auth_user && before.no_auth_user != after.no_auth_user) return false;
    return same_home(home, find_home(after, name));
  }
  return before.token == after.token && before.no_auth_user == after.no_auth_user;
}

}  // namespace

Result<ReloadReport> Server::reload(const ServerOptions& fresh) {
  ReloadReport report = compare_options(options_, fresh);
  if (options_.tls.enabled() != fresh.tls.enabled() ||
      options_.allow_non_tls != fresh.allow_non_tls) {
    report.waiting.push_back({.name = "tls",
                              .reference_field = "TLS",
                              .before = options_.tls.enabled() ? "enabled" : "disabled",
                              .after = fresh.tls.enabled() ? "enabled" : "disabled"});
  } else if (fresh.tls.enabled()) {
    // Certificates may be others under the same names.
    if (Status loaded = reload_tls(fresh.tls, fresh.allow_non_tls); !loaded)
      return std::unexpected(loaded.error());
    report.applied.push_back(
        {.name = "tls", .reference_field = "TLS", .before = "enabled", .after = "enabled"});
  }
  if (Status loaded = reload_websocket_tls(fresh.websocket.tls); !loaded)
    return std::unexpected(loaded.error());

  const ServerOptions before = options_;
  take_reloadable(options_, fresh);
  outbox_options_ = make_outbox_options(options_.max_pending, options_.write_deadline);
  update_accounts(with_jwt_accounts(options_, jwts_.get(), env_.clock.wall()));
  // In place: the connections' world refers to it.
  std::destroy_at(&authenticator_);
  std::construct_at(&authenticator_, options_, accounts_, env_.clock, jwts_.get());
  std::tie(advertised_host_, advertised_port_) = split_advertised(options_);
  while (closed_.size() > options_.max_closed_connections) closed_.pop_front();

  std::vector<Connection*> all;
  for (const auto& [id, connection] : connections_) all.push_back(connection.get());
  std::ranges::sort(all, {}, &Connection::id);
  for (Connection* connection : all) connection->options_changed();
  if (jwts_ == nullptr) {
    cut_those_who_may_not_stay(all, before);
    renew_identities(all);
  }
  accounts_.each([this](Account& account) { cut_surplus_of(account); });
  cut_surplus(all);
  for (const ChangedSetting& changed : report.applied)
    SLUICE_LOG(log_, kInfo, "reloaded setting={}", changed.name);
  return report;
}

void Server::cut_those_who_may_not_stay(const std::vector<Connection*>& all,
                                        const ServerOptions& before) {
  size_t cut = 0;
  for (Connection* connection : all) {
    if (!connection->open() || !connection->bound()) continue;
    const bool anonymous = connection->user().empty();
    const bool stays =
        anonymous ? !authenticator_.required() : may_stay(connection->user(), before, options_);
    if (stays) continue;
    ++cut;
    connection->close(CloseReason::kAuthenticationFailure, "Authorization Violation");
  }
  if (cut > 0) SLUICE_LOG(log_, kInfo, "cut at reload, no longer allowed connections={}", cut);
}

/// Those who stay are let go on with what the same user may do now.
void Server::renew_identities(const std::vector<Connection*>& all) {
  for (Connection* connection : all) {
    if (!connection->open() || !connection->bound() || connection->user().empty()) continue;
    if (IdentityPtr fresh = authenticator_.identity_of(connection->user()); fresh != nullptr)
      connection->change_identity(std::move(fresh));
  }
}

/// The newest go, as they would not have come in.
void Server::cut_surplus(const std::vector<Connection*>& all) {
  size_t open = connections_.size();
  for (auto it = all.rbegin(); it != all.rend() && open > options_.max_connections; ++it) {
    if (!(*it)->open()) continue;
    (*it)->close(CloseReason::kMaxConnections, "maximum connections exceeded");
    --open;
  }
}

}  // namespace sluice
