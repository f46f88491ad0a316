// The server's own side of $SYS: what it tells and answers in the system account, and accounts that
// change while it runs.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/log.h"
#include "server/jwt_authority.h"
#include "server/operator_mode.h"
#include "server/server.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};

/// Of an account that is no longer configured: its name is left, and nobody gets in.
AccountOptions gone(const Account& account) {
  AccountOptions out{.name = account.name()};
  out.max_connections = out.max_leafnodes = 0;
  return out;
}

}  // namespace

void Server::make_system() {
  const auto figures = [this] { return statsz_json(); };
  events_ = std::make_unique<SystemEvents>(env_, accounts_, options_, id_, figures);
  services_ = std::make_unique<SystemServices>(accounts_, options_, id_, *events_, *this, figures);
  if (jwts_ == nullptr) return;
  claims_ = std::make_unique<ClaimsServices>(accounts_.system(), *jwts_, directory_.get(),
                                             options_.operator_mode.allow_delete, *events_,
                                             [this] { take_tokens(); });
  tokens_timer_ = env_.timers.make([this] { take_tokens(); });
  const WallNanos now = env_.clock.wall();
  if (const WallNanos next = jwts_->next_change(now); next != 0)
    tokens_timer_->start(std::chrono::nanoseconds(next - now));
}

bool Server::kick(uint64_t cid) {
  const auto found = connections_.find(cid);
  if (found == connections_.end()) return false;
  found->second->close(CloseReason::kKicked, {});
  return true;
}

bool Server::send_lame_duck(uint64_t cid) {
  const auto found = connections_.find(cid);
  if (found == connections_.end()) return false;
  found->second->send_async_info(InfoKind::kLameDuck);
  return true;
}

std::string Server::statsz_json() const {
  const ServerCounters all = counters();
  size_t active = 0;
  accounts_.each([&active](const Account& account) { active += account.connections > 0 ? 1 : 0; });
  SystemHost* host = services_->host();
  const HostFigures figures = host == nullptr ? HostFigures{} : host->figures();
  const auto traffic = [](uint64_t messages, uint64_t bytes) {
    return fmt::format(R"({{"msgs":{},"bytes":{}}})", messages, bytes);
  };
  const std::string sent = traffic(all.out_msgs, all.out_bytes);
  const std::string received = traffic(all.in_msgs, all.in_bytes);
  return fmt::format(
      R"({{"start":"{}",{}"connections":{},"total_connections":{},"active_accounts":{},"subscriptions":{},)"
      R"("sent":{},"sent_to_clients":{},"received":{},"received_from_clients":{},"slow_consumers":{},"active_servers":1{}{}}})",
      format_rfc3339(start_wall_), figures.process.empty() ? "" : figures.process + ',', connections_.size(), all.total_connections, active,
      subscription_count(), sent, sent, received, received,
      all.slow_consumers_pending + all.slow_consumers_deadline, figures.jetstream.empty() ? "" : ",",
      figures.jetstream);
}

/// Makes accounts that are new, changes those that differ, and closes those that are gone.
void Server::update_accounts(const ServerOptions& options) {
  std::vector<AccountOptions> fresh = Accounts::options_of(options);
  accounts_.each([&](const Account& account) {
    const bool listed = std::ranges::any_of(
        fresh, [&](const AccountOptions& one) { return one.name == account.name(); });
    if (!listed && !account.is_system()) fresh.push_back(gone(account));
  });
  std::vector<Account*> changed;
  for (AccountOptions& one : fresh) {
    Account* account = accounts_.find(one.name);
    if (account == nullptr) {
      account = &accounts_.add(std::move(one));
      services_->add(*account);
    } else if (account->options() == one) {
      continue;
    } else {
      account->change(std::move(one));
    }
    changed.push_back(account);
  }
  if (changed.empty()) return;
  // Those who import from a changed account as well.
  accounts_.each([&](Account& account) {
    const auto is_changed = [&](const Account* one) { return std::ranges::find(changed, one) != changed.end(); };
    const auto& imports = account.options().imports;
    if (is_changed(&account) || std::ranges::any_of(imports, [&](const ImportOptions& import) {
          return is_changed(accounts_.find(import.account));
        }))
      imports_.rebuild(account);
  });
  for (Account* account : changed) {
    SLUICE_LOG(log_, kInfo, "account changed account={}", account->name());
    if (account_changed_) account_changed_(*account);
  }
}

/// The tokens, or what the clock makes of them, are others.
void Server::take_tokens() {
  const WallNanos now = env_.clock.wall();
  update_accounts(with_jwt_accounts(options_, jwts_.get(), now));
  check_clients_again();
  tokens_timer_->stop();
  if (const WallNanos next = jwts_->next_change(now); next != 0)
    tokens_timer_->start(std::chrono::nanoseconds(next - now));
}

void Server::check_clients_again() {
  const JwtAuthority* authority = authenticator_.jwts();
  if (authority == nullptr) return;
  std::vector<Connection*> all;
  for (const auto& [id, connection] : connections_) all.push_back(connection.get());
  std::ranges::sort(all, {}, &Connection::id);
  for (Connection* connection : all) {
    if (connection->open() && connection->bound()) check_again(*connection, *authority);
  }
  accounts_.each([this](Account& account) { cut_surplus_of(account); });
}

void Server::check_again(Connection& connection, const JwtAuthority& authority) {
  const Identity& before = *connection.identity();
  if (jwts_->find(before.account->name()) == nullptr)
    return connection.close(CloseReason::kAuthenticationExpired, "Account Authentication Expired");
  auto again = authority.check_again(before, connection.kind(), connection.ip(), env_.clock.wall());
  if (again) {
    connection.change_identity(std::move(*again));
    connection.options_changed();
    return;
  }
  SLUICE_LOG(log_, kInfo, "client cut cid={} reason=\"{}\"", connection.id(), again.error().detail);
  if (again.error().code == Errc::kRefused) {
    connection.close(CloseReason::kRevoked, "User Authentication Revoked");
  } else if (again.error().code == Errc::kTimeout) {
    connection.close(CloseReason::kAuthenticationExpired, "Account Authentication Expired");
  } else {
    connection.close(CloseReason::kAuthenticationFailure, "Authorization Violation");
  }
}

/// The newest go, as they would not have come in.
void Server::cut_surplus_of(Account& account) {
  const int64_t most = account.options().max_connections;
  if (most < 0 || account.connections <= static_cast<size_t>(most)) return;
  std::vector<Connection*> own;
  for (const auto& [id, connection] : connections_) {
    if (connection->open() && connection->bound() && &connection->account() == &account)
      own.push_back(connection.get());
  }
  std::ranges::sort(own, std::greater{}, &Connection::id);
  for (Connection* connection : own) {
    if (account.connections <= static_cast<size_t>(most)) return;
    connection->close(CloseReason::kMaxAccountConnections,
                      "maximum account active connections exceeded");
  }
}

}  // namespace sluice
