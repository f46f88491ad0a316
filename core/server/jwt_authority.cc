#include "server/jwt_authority.h"

#include <algorithm>
#include <utility>

#include "crypto/nkey.h"
#include "server/jwt_conditions.h"

namespace sluice {
namespace {

constexpr int64_t kNanos = 1'000'000'000;

std::unexpected<Error> denied(std::string words) { return fail(Errc::kDenied, std::move(words)); }

/// When a session ends by itself, and for whose sake.
struct Ending {
  WallNanos at = 0;  ///< 0 = never
  bool with_account = false;

  void sooner(WallNanos end, bool of_account) {
    if (end == 0 || (at != 0 && at <= end)) return;
    at = end;
    with_account = of_account;
  }
};

}  // namespace

Result<JwtAuthority::Issuer> JwtAuthority::find_issuer(const UserJwt& user) const {
  const std::string& key = user.issuer_account.empty() ? user.head.issuer : user.issuer_account;
  const AccountJwt* token = tokens_.find(key);
  if (token == nullptr) return denied("the account is not known");
  if (user.head.issuer == token->head.subject) return Issuer{token, nullptr};
  const auto signing = token->signing_keys.find(user.head.issuer);
  if (signing == token->signing_keys.end()) return denied("the issuer is no key of the account");
  return Issuer{token, signing->second ? &*signing->second : nullptr};
}

Result<UserGrant> JwtAuthority::grant_of(const UserJwt& user, const Issuer& issuer) const {
  if (issuer.scope == nullptr) return user.grant;
  if (!user.grant.blank) return denied("a user of a scoped key has claims of its own");
  UserGrant grant = *issuer.scope;
  auto filled = fill_template(grant.permissions, user, *issuer.account);
  if (!filled) return std::unexpected(filled.error());
  grant.permissions = std::move(*filled);
  return grant;
}

Result<IdentityPtr> JwtAuthority::check(const Credentials& given, WallNanos now) const {
  if (given.jwt.empty()) return denied("no JWT");
  const auto user = read_user_jwt(given.jwt);
  if (!user) return denied(user.error().detail);
  const int64_t now_s = now / kNanos;
  if (user->head.not_before_s > now_s) return denied("the user's JWT is not valid yet");
  const auto issuer = find_issuer(*user);
  if (!issuer) return std::unexpected(issuer.error());
  auto grant = grant_of(*user, *issuer);
  if (!grant) return std::unexpected(grant.error());
  if (!grant->bearer && !verify_nonce(user->head.subject, given.nonce, given.signature))
    return denied("the nonce is not signed by the user");
  auto identity = decide(*user, *issuer, std::move(*grant), {given.kind, given.ip}, now);
  if (!identity) return identity;
  auto whole = std::make_shared<Identity>(**identity);
  whole->jwt = given.jwt;
  return whole;
}

Result<IdentityPtr> JwtAuthority::check_again(const Identity& identity, ConnectionKind kind,
                                              std::string_view ip, WallNanos now) const {
  const auto user = read_user_jwt(identity.jwt);
  if (!user) return denied(user.error().detail);
  const auto issuer = find_issuer(*user);
  if (!issuer) return std::unexpected(issuer.error());
  auto grant = grant_of(*user, *issuer);
  if (!grant) return std::unexpected(grant.error());
  auto again = decide(*user, *issuer, std::move(*grant), {kind, ip}, now);
  if (!again) return again;
  auto whole = std::make_shared<Identity>(**again);
  whole->jwt = identity.jwt;
  return whole;
}

/// All but who holds the user's seed.
Result<IdentityPtr> JwtAuthority::decide(const UserJwt& user, const Issuer& issuer, UserGrant grant,
                                         const Way& way, WallNanos now) const {
  const int64_t now_s = now / kNanos;
  const JwtHead& head = user.head;
  const AccountJwt& account = *issuer.account;
  if (head.expires_s != 0 && head.expires_s <= now_s) return denied("the user's JWT has expired");
  if (account.head.expires_s != 0 && account.head.expires_s <= now_s)
    return fail(Errc::kTimeout, "the account's JWT has expired");
  if (grant.bearer && account.disallow_bearer) return denied("the account takes no bearer tokens");
  if (!grant.connection_types.empty() &&
      std::ranges::find(grant.connection_types, to_string(way.kind)) == grant.connection_types.end())
    return denied("the connection's type is not allowed");
  if (is_revoked(account.revocations, head.subject, head.issued_s))
    return fail(Errc::kRefused, "the user is revoked");
  if (!grant.sources.empty() && !address_in(way.ip, grant.sources))
    return denied("the address is not allowed");
  Ending ending;
  ending.sooner(head.expires_s * kNanos, false);
  ending.sooner(account.head.expires_s * kNanos, true);
  if (!grant.times.empty()) {
    const auto until = allowed_until(grant.times, grant.times_location, now);
    if (!until) return std::unexpected(until.error());
    ending.sooner(*until, false);
  }
  Account* home = accounts_.find(account.head.subject);
  if (home == nullptr) return denied("the account is not there");
  auto permissions = permissions_of(grant, *home);
  if (!permissions) return std::unexpected(permissions.error());
  return std::make_shared<Identity>(Identity{.user = head.subject,
                                             .account = home,
                                             .permissions = std::move(*permissions),
                                             .connection_types = std::move(grant.connection_types),
                                             .max_subscriptions = std::max<int64_t>(grant.max_subscriptions, -1),
                                             .max_payload = std::max<int64_t>(grant.max_payload, -1),
                                             .expires = ending.at,
                                             .expires_with_account = ending.with_account,
                                             .issuer_key = head.issuer,
                                             .name_tag = head.name,
                                             .tags = head.tags});
}

Result<std::shared_ptr<const Permissions>> JwtAuthority::permissions_of(const UserGrant& grant,
                                                                        const Account& home) const {
  if (grant.permissions != PermissionOptions{}) return Permissions::make(grant.permissions);
  const auto& defaults = home.options().default_permissions;
  if (!defaults) return nullptr;
  return Permissions::make(*defaults);
}

}  // namespace sluice
