#include "server/authenticator.h"

#include "crypto/secret.h"

namespace sluice {

StaticAuthenticator::StaticAuthenticator(const ServerOptions& options)
    : users_(options.users), token_(options.token), no_auth_user_(options.no_auth_user) {
  if (!options.user.empty() || !options.password.empty()) {
    users_.push_back({options.user, options.password});
  }
}

std::optional<std::string> StaticAuthenticator::check(const Credentials& given) const {
  if (!configured()) return std::string(given.user);
  const bool nothing = given.user.empty() && given.password.empty() && given.token.empty();
  if (nothing && !no_auth_user_.empty()) return no_auth_user_;
  if (!token_.empty() && secrets_equal(given.token, token_)) return "[REDACTED]";
  const UserOptions* named = nullptr;
  for (const UserOptions& known : users_) {
    if (known.user == given.user) named = &known;
  }
  // An unknown name costs the same as a wrong password.
  const bool same = secrets_equal(given.password, named == nullptr ? "" : named->password);
  if (named == nullptr || !same) return std::nullopt;
  return named->user;
}

}  // namespace sluice
