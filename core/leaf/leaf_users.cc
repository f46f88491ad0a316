#include "leaf/leaf_users.h"

#include <fmt/format.h>

#include <utility>

#include "crypto/password.h"
#include "crypto/secret.h"

namespace sluice {

Result<LeafUsers> LeafUsers::make(const LeafOptions& options, Accounts& accounts) {
  LeafUsers out;
  std::vector<LeafUserOptions> all = options.users;
  if (!options.user.empty() || !options.password.empty()) {
    if (!all.empty()) return fail(Errc::kInvalidArgument, "can not have a single user/pass and a users array");
    all.push_back({options.user, options.password, options.account});
  }
  for (const LeafUserOptions& user : all) {
    Account* account = user.account.empty() ? &accounts.global() : accounts.find(user.account);
    if (account == nullptr)
      return fail(Errc::kInvalidArgument,
                  fmt::format("cannot find local account \"{}\" specified in leafnode authorization", user.account));
    Known known{user.password, std::make_shared<Identity>(Identity{.user = user.user, .account = account})};
    if (out.decoy_.empty() || is_bcrypt(user.password)) out.decoy_ = user.password;
    if (!out.users_.emplace(user.user, std::move(known)).second)
      return fail(Errc::kInvalidArgument,
                  fmt::format("duplicate user \"{}\" detected in leafnode authorization", user.user));
  }
  return out;
}

AuthAnswer LeafUsers::check(std::string_view user, std::string_view password) const {
  const auto found = users_.find(user);
  const bool known = found != users_.end();
  const std::string& expected = known ? found->second.password : decoy_;
  const IdentityPtr identity = known ? found->second.identity : nullptr;
  if (is_bcrypt(expected)) return {.identity = identity, .bcrypt = expected, .secret = password};
  return {.identity = secrets_equal(password, expected) ? identity : nullptr};
}

}  // namespace sluice
