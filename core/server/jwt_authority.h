// Operator mode: which users' tokens open which accounts.
//
// The chain: a trusted operator key signed the account's JWT, the account or one of its signing keys
// signed the user's, the user signed the server's nonce.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time_format.h"
#include "server/authenticator.h"
#include "server/jwt_accounts.h"

namespace sluice {

/// Loop thread only; refers to tokens and accounts that outlive it.
class JwtAuthority {
 public:
  JwtAuthority(const JwtAccounts& tokens, Accounts& accounts)
      : tokens_(tokens), accounts_(accounts) {}

  /// kDenied: refused; kRefused: the user is revoked; kTimeout: the account has expired. The detail
  /// says why, for the log.
  Result<IdentityPtr> check(const Credentials& given, WallNanos now) const;
  /// The same for one who is connected: no nonce is asked, the user's own `nbf` is not looked at.
  Result<IdentityPtr> check_again(const Identity& identity, ConnectionKind kind,
                                  std::string_view ip, WallNanos now) const;

 private:
  struct Way {  ///< how the client came
    ConnectionKind kind;
    std::string_view ip;
  };
  struct Issuer {
    const AccountJwt* account = nullptr;
    const UserGrant* scope = nullptr;  ///< of a scoped signing key
  };
  Result<Issuer> find_issuer(const UserJwt& user) const;
  Result<UserGrant> grant_of(const UserJwt& user, const Issuer& issuer) const;
  Result<IdentityPtr> decide(const UserJwt& user, const Issuer& issuer, UserGrant grant,
                             const Way& way, WallNanos now) const;
  Result<std::shared_ptr<const Permissions>> permissions_of(const UserGrant& grant,
                                                            const Account& home) const;

  const JwtAccounts& tokens_;
  Accounts& accounts_;
};

}  // namespace sluice
