#include "server/server_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "base/parse_number.h"
#include "crypto/nkey.h"
#include "crypto/password.h"
#include "server/imports.h"
#include "server/jwt_accounts.h"
#include "server/permissions.h"
#include "server/subject_mappings.h"
#include "subject/subject.h"

namespace sluice {
namespace {

Status invalid(std::string words) { return fail(Errc::kInvalidArgument, std::move(words)); }

Status check_secret(const std::string& secret) {
  if (is_bcrypt(secret) && !is_usable_bcrypt(secret))
    return invalid(fmt::format("a bcrypt password is cut off or costlier than {}", kMaxBcryptCost));
  return {};
}

constexpr std::array<std::string_view, 7> kConnectionTypes = {
    "STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"};

Status check_user(const UserOptions& user, std::set<std::string>& names) {
  const std::string& name = user.nkey.empty() ? user.user : user.nkey;
  if (!names.insert(name).second)
    return invalid(fmt::format("user \"{}\" is there twice", name));
  if (!user.nkey.empty()) {
    if (!is_nkey(NkeyKind::kUser, user.nkey)) return invalid("Not a valid public nkey for a user");
    if (!user.user.empty() || !user.password.empty())
      return invalid("nkey users can't have a name or a password");
  }
  for (const std::string& type : user.allowed_connection_types) {
    if (std::ranges::find(kConnectionTypes, type) == kConnectionTypes.end())
      return invalid(fmt::format("invalid connection type \"{}\"", type));
  }
  if (user.permissions) {
    if (auto made = Permissions::make(*user.permissions); !made)
      return std::unexpected(made.error());
  }
  return check_secret(user.password);
}

Status check_account(const AccountOptions& account, std::set<std::string>& users) {
  if (account.name == kGlobalAccount)
    return invalid(fmt::format("\"{}\" is a Reserved Account", kGlobalAccount));
  if (account.name.empty() || account.name.find_first_of(" \t\r\n") != std::string::npos)
    return invalid("an account's name is empty or holds a blank");
  if (!account.nkey.empty() && !is_nkey(NkeyKind::kAccount, account.nkey))
    return invalid(fmt::format("Not a valid public nkey for an account: \"{}\"", account.nkey));
  for (const UserOptions& user : account.users) {
    if (auto fine = check_user(user, users); !fine) return fine;
  }
  if (account.default_permissions) {
    if (auto made = Permissions::make(*account.default_permissions); !made)
      return std::unexpected(made.error());
  }
  if (auto made = SubjectMappings::make(account.mappings, {}); !made)
    return std::unexpected(made.error());
  if (!account.trace_destination.empty() && !is_valid_literal(account.trace_destination))
    return invalid(fmt::format("Trace destination \"{}\" is not valid", account.trace_destination));
  return {};
}

Status check_operator_mode(const ServerOptions& options) {
  const OperatorMode& mode = options.operator_mode;
  if (!mode.enabled()) {
    if (mode.preload.empty()) return {};
    return invalid("resolver_preload needs an operator or trusted keys");
  }
  if (!options.users.empty() || !options.accounts.empty() || !options.user.empty() ||
      !options.token.empty() || !options.no_auth_user.empty())
    return invalid("operators and users or accounts of the configuration can't be used together");
  const auto jwts = JwtAccounts::make(mode);
  if (!jwts) return std::unexpected(jwts.error());
  const std::string& system =
      options.system_account.empty() ? jwts->system_account() : options.system_account;
  // With a directory it may stand there.
  if (!system.empty() && mode.directory.empty() && jwts->find(system) == nullptr)
    return invalid(fmt::format("system_account \"{}\" has no JWT here", system));
  return {};
}

Status check_accounts(const ServerOptions& options, std::set<std::string>& users) {
  std::set<std::string_view> names;
  for (const AccountOptions& account : options.accounts) {
    if (!names.insert(account.name).second)
      return invalid(fmt::format("account \"{}\" is there twice", account.name));
    if (auto fine = check_account(account, users); !fine) return fine;
  }
  const std::string& system = options.system_account;
  if (!system.empty() && !options.operator_mode.enabled() && system != kSystemAccount && !names.contains(system))
    return invalid(fmt::format("system_account \"{}\" is none of the accounts", system));
  return check_imports(options.accounts);
}

Status check_secrets(const ServerOptions& options) {
  const bool single = !options.user.empty() || !options.password.empty();
  const int kinds = static_cast<int>(single) + static_cast<int>(!options.token.empty()) +
                    static_cast<int>(!options.users.empty());
  if (auto fine = check_operator_mode(options); !fine) return fine;
  if (kinds > 1) return invalid("only one of user and password, token, users can be set");
  for (const std::string& secret : {options.password, options.token}) {
    if (auto fine = check_secret(secret); !fine) return fine;
  }
  std::set<std::string> names;
  if (single) names.insert(options.user);
  for (const UserOptions& user : options.users) {
    if (auto fine = check_user(user, names); !fine) return fine;
  }
  if (auto fine = check_accounts(options, names); !fine) return fine;
  if (options.default_permissions) {
    if (auto made = Permissions::make(*options.default_permissions); !made)
      return std::unexpected(made.error());
  }
  if (auto made = SubjectMappings::make(options.mappings, {}); !made)
    return std::unexpected(made.error());
  if (!options.no_auth_user.empty() && !names.contains(options.no_auth_user))
    return invalid("no_auth_user is not one of the users");
  return {};
}

}  // namespace

std::pair<std::string, uint16_t> split_advertised(const ServerOptions& options) {
  const std::string& text = options.client_advertise;
  if (text.empty()) return {options.host, 0};
  const size_t colon = text.rfind(':');
  const bool v6_alone = colon != std::string::npos && text.find(':') != colon && text[0] != '[';
  if (colon == std::string::npos || v6_alone) return {text, 0};
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {host, parse_decimal<uint16_t>(std::string_view(text).substr(colon + 1)).value_or(0)};
}

Status check_options(const ServerOptions& options) {
  if (options.max_payload > options.max_pending) {
    return fail(Errc::kInvalidArgument, "max_payload is larger than max_pending");
  }
  if (options.max_payload == 0 || options.max_control_line == 0) {
    return fail(Errc::kInvalidArgument, "max_payload and max_control_line can't be 0");
  }
  if (options.server_name.find(' ') != std::string::npos) {
    return fail(Errc::kInvalidArgument, "server_name holds a blank");
  }
  constexpr auto kNone = std::chrono::nanoseconds::zero();
  if (options.ping_interval <= kNone || options.auth_timeout <= kNone ||
      options.write_deadline <= kNone || options.max_read_pause < kNone) {
    return fail(Errc::kInvalidArgument, "a duration of the server is not positive");
  }
  return check_secrets(options);
}

}  // namespace sluice
