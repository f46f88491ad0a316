// Operator mode: the accounts that trusted operators' JWTs describe.
//
// Each token was signed by a trusted key and is kept as it came. What the server makes of them all
// together (exports opened by activations, imports that hold) is computed anew whenever one changes
// or ends. Changing: Server::update_accounts() takes the result over.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"
#include "server/jwt.h"

namespace sluice {

/// Plain data and rules; no thread, no clock.
class JwtAccounts {
 public:
  /// Trust and the preloaded accounts. kInvalidArgument says which token is wrong and why, without
  /// its text.
  static Result<JwtAccounts> make(const OperatorMode& mode);

  /// Takes a token for the account `key` instead of the one before.
  /// @return false when it is the very one that is here. kInvalidArgument: not this account's, not
  ///   signed by a trusted key, or its claims can't be kept.
  Result<bool> take(const std::string& key, const std::string& token);
  bool drop(std::string_view key);

  /// What take() would say of a token that is read already.
  Status check(const std::string& key, const AccountJwt& account) const;
  const AccountJwt* find(std::string_view key) const;
  const std::map<std::string, AccountJwt, std::less<>>& all() const { return tokens_; }
  /// That the operator names; "" = none.
  const std::string& system_account() const { return system_account_; }
  bool trusts(const std::string& operator_key) const { return trusted_.contains(operator_key); }

  /// All accounts as the server is to have them at `now`; imports that nobody grants are left out.
  std::vector<AccountOptions> options(WallNanos now) const;
  /// When options() gives something else though no token has changed; 0 = never.
  WallNanos next_change(WallNanos now) const;

 private:
  std::vector<ExportOptions> open_exports(const AccountJwt& exporter, int64_t now_s) const;

  std::set<std::string, std::less<>> trusted_;
  std::string system_account_;
  std::map<std::string, AccountJwt, std::less<>> tokens_;
};

/// Whether what was issued at `issued_s` for `key` is revoked.
bool is_revoked(const std::map<std::string, int64_t>& revocations, const std::string& key,
                int64_t issued_s);

}  // namespace sluice
