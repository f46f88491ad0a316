// Who may connect: user and password, several of them, or a token.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/server_options.h"

namespace sluice {

/// What a CONNECT brought. Views for the call only.
struct Credentials {
  std::string_view user;
  std::string_view password;
  std::string_view token;
};

/// Fixed at start. Comparisons take the same time whatever differs.
class StaticAuthenticator {
 public:
  explicit StaticAuthenticator(const ServerOptions& options);

  /// Whether a client must show credentials at all.
  bool required() const { return configured() && no_auth_user_.empty(); }
  /// As whom a client is known that shows none.
  const std::string& default_user() const { return no_auth_user_; }
  /// @return the name under which the client is known ("" when nothing is required), nullopt when
  ///   it is refused.
  std::optional<std::string> check(const Credentials& given) const;

 private:
  bool configured() const { return !users_.empty() || !token_.empty(); }

  std::vector<UserOptions> users_;
  std::string token_;
  std::string no_auth_user_;
};

}  // namespace sluice
