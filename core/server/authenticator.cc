#include "server/authenticator.h"

#include <algorithm>

#include "base/base64.h"
#include "base/check.h"
#include "base/log.h"
#include "crypto/nkey.h"
#include "crypto/password.h"
#include "crypto/secret.h"
#include "crypto/signature.h"
#include "server/certificate_user.h"
#include "server/jwt_authority.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};

std::shared_ptr<const Permissions> compile(const std::optional<PermissionOptions>& own,
                                           const Account& account) {
  const auto& used = own ? own : account.options().default_permissions;
  if (!used) return nullptr;
  auto made = Permissions::make(*used);
  SLUICE_CHECK(made.has_value());  // check_options() has seen them
  return *made;
}

bool type_allowed(const Identity& identity, ConnectionKind kind) {
  const auto& types = identity.connection_types;
  return types.empty() || std::ranges::find(types, to_string(kind)) != types.end();
}

}  // namespace

std::string_view to_string(ConnectionKind kind) {
  switch (kind) {
    case ConnectionKind::kStandard:
      return "STANDARD";
    case ConnectionKind::kWebSocket:
      return "WEBSOCKET";
    case ConnectionKind::kLeaf:
      return "LEAFNODE";
    case ConnectionKind::kLeafWebSocket:
      return "LEAFNODE_WS";
    case ConnectionKind::kInProcess:
      return "IN_PROCESS";
  }
  return "";
}

Authenticator::~Authenticator() = default;

Authenticator::Authenticator(const ServerOptions& options, Accounts& accounts, Clock& clock,
                             const JwtAccounts* jwts)
    : map_certificates_(options.tls.verify_and_map), clock_(clock), accounts_(accounts) {
  if (jwts != nullptr) {
    jwts_ = std::make_unique<JwtAuthority>(*jwts, accounts);
    configured_ = true;
    return;
  }
  for (const UserOptions& user : options.users) add(user, accounts.global());
  if (!options.user.empty() || !options.password.empty())
    add({.user = options.user, .password = options.password}, accounts.global());
  bool only_system = options.users.empty() && options.user.empty() && options.password.empty();
  for (const AccountOptions& account : options.accounts) {
    Account* own = accounts.find(account.name);
    for (const UserOptions& user : account.users) add(user, *own);
    if (!account.users.empty() && !own->is_system()) only_system = false;
  }
  if (!options.token.empty()) {
    token_ = options.token;
    token_identity_ = std::make_shared<Identity>(
        Identity{.user = "[REDACTED]",
                 .account = &accounts.global(),
                 .permissions = compile(std::nullopt, accounts.global())});
  }
  configured_ = !users_.empty() || !keys_.empty() || !token_.empty();
  if (!users_.empty()) decoy_ = users_.begin()->second.password;
  for (const auto& [name, known] : users_) {
    if (is_bcrypt(known.password)) decoy_ = known.password;
  }
  if (!options.no_auth_user.empty()) {
    const auto user = users_.find(options.no_auth_user);
    const auto key = keys_.find(options.no_auth_user);
    if (user != users_.end()) anonymous_ = user->second.identity;
    if (key != keys_.end()) anonymous_ = key->second;
  } else if (!configured_ || (only_system && token_.empty())) {
    // Users of the system account alone do not shut the others out.
    anonymous_ = std::make_shared<Identity>(
        Identity{.user = {},
                 .account = &accounts.global(),
                 .permissions = compile(std::nullopt, accounts.global())});
  }
}

void Authenticator::add(const UserOptions& user, Account& account) {
  auto identity = std::make_shared<Identity>(
      Identity{.user = user.nkey.empty() ? user.user : user.nkey,
               .account = &account,
               .permissions = compile(user.permissions, account),
               .connection_types = user.allowed_connection_types});
  if (!user.nkey.empty()) {
    keys_.insert_or_assign(user.nkey, std::move(identity));
  } else {
    users_.insert_or_assign(user.user, Known{user.password, std::move(identity)});
  }
}

AuthAnswer Authenticator::check(const Credentials& given) const {
  if (jwts_ != nullptr) {
    auto identity = jwts_->check(given, clock_.wall());
    if (identity) return {.identity = std::move(*identity)};
    SLUICE_LOG(log_, kInfo, "JWT refused ip={} reason=\"{}\"", given.ip, identity.error().detail);
    return {};
  }
  if (!configured_) {
    // Nobody has to log in: the name that was given is shown all the same.
    if (given.user.empty()) return {.identity = anonymous_};
    auto named = std::make_shared<Identity>(*anonymous_);
    named->user = given.user;
    return {.identity = std::move(named)};
  }
  if (given.none() && anonymous_ != nullptr && !map_certificates_) {
    return {.identity = type_allowed(*anonymous_, given.kind) ? anonymous_ : nullptr};
  }
  AuthAnswer answer;
  if (map_certificates_ && given.kind == ConnectionKind::kStandard) {
    answer = check_certificate(given.tls);
  } else if (!given.nkey.empty()) {
    answer = check_key(given);
  } else if (!given.user.empty() || token_.empty()) {
    answer = check_user(given);
  } else {
    answer = compare(given.token, token_, token_identity_);
  }
  if (answer.identity != nullptr && !type_allowed(*answer.identity, given.kind)) return {};
  return answer;
}

IdentityPtr Authenticator::identity_of(std::string_view user) const {
  if (const auto found = users_.find(user); found != users_.end()) return found->second.identity;
  if (const auto found = keys_.find(user); found != keys_.end()) return found->second;
  return nullptr;
}

AuthAnswer Authenticator::compare(std::string_view secret, std::string_view expected,
                                  IdentityPtr identity) {
  if (is_bcrypt(expected))
    return {.identity = std::move(identity), .bcrypt = std::string(expected), .secret = secret};
  if (!secrets_equal(secret, expected)) return {};
  return {.identity = std::move(identity)};
}

AuthAnswer Authenticator::check_user(const Credentials& given) const {
  const auto found = users_.find(given.user);
  if (found != users_.end()) return compare(given.password, found->second.password, found->second.identity);
  // An unknown name costs the same as a wrong password.
  return compare(given.password, decoy_, nullptr);
}

AuthAnswer Authenticator::check_key(const Credentials& given) const {
  const auto found = keys_.find(given.nkey);
  if (found == keys_.end()) return {};
  return verify_nonce(given.nkey, given.nonce, given.signature)
             ? AuthAnswer{.identity = found->second}
             : AuthAnswer{};
}

AuthAnswer Authenticator::check_certificate(const TlsPeer* peer) const {
  std::vector<std::string_view> names;
  for (const auto& [name, known] : users_) names.push_back(name);
  const auto found = find_certificate_user(peer, names);
  if (!found) return {};
  return {.identity = users_.find(names[*found])->second.identity};
}

}  // namespace sluice
