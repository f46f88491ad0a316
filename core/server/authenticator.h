// Who may connect, and as whom: token, users with passwords (plain or bcrypt), keys that sign the
// server's nonce.
//
// Happy path: check() finds the user and compares the secret at once. A bcrypt hash takes a tenth of
// a second and more, so then the answer only says against which hash the secret must hold, and the
// caller has it computed elsewhere (password_checks.h). Refusals look alike and cost alike: an
// unknown name is compared with some other user's secret.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"
#include "io/clock.h"
#include "io/transport.h"
#include "server/accounts.h"
#include "server/permissions.h"
#include "server/server_options.h"

namespace sluice {

/// How a client came in; the names are those of `allowed_connection_types`.
enum class ConnectionKind : uint8_t { kStandard, kWebSocket, kLeaf, kLeafWebSocket, kInProcess };
std::string_view to_string(ConnectionKind kind);

/// What a CONNECT brought. Views for the call only.
struct Credentials {
  std::string_view user = {};
  std::string_view password = {};
  std::string_view token = {};
  std::string_view nkey = {};
  std::string_view signature = {};  ///< of the nonce, base64
  std::string_view jwt = {};
  std::string_view nonce = {};  ///< that the server sent
  ConnectionKind kind = ConnectionKind::kStandard;
  std::string_view ip = {};
  const TlsPeer* tls = nullptr;  ///< of the client's TLS session, if it has one
  bool none() const {
    return user.empty() && password.empty() && token.empty() && nkey.empty() && jwt.empty();
  }
};

/// Who a client is. Shared by the connections of one user; does not change.
struct Identity {
  std::string user = {};  ///< name, key, or "[REDACTED]" for a token; "" = nobody had to log in
  Account* account = nullptr;
  std::shared_ptr<const Permissions> permissions = nullptr;  ///< nullptr = everything
  std::vector<std::string> connection_types = {};       ///< empty = all
  int64_t max_subscriptions = -1;
  int64_t max_payload = -1;
  WallNanos expires = 0;  ///< 0 = never
  bool expires_with_account = false;  ///< it is the account's token that ends then
  std::string jwt = {};
  std::string issuer_key = {};
  std::string name_tag = {};
  std::vector<std::string> tags = {};
};
using IdentityPtr = std::shared_ptr<const Identity>;

struct AuthAnswer {
  IdentityPtr identity = nullptr;  ///< nullptr: refused
  std::string bcrypt = {};      ///< not empty: only if the secret holds against it
  std::string_view secret = {};  ///< of the Credentials; what to hold against `bcrypt`
};

class JwtAccounts;
class JwtAuthority;

/// Fixed at start. Comparisons take the same time whatever differs.
class Authenticator {
 public:
  /// `options` have passed check_options(). `jwts`: in operator mode, else nullptr; outlives it.
  Authenticator(const ServerOptions& options, Accounts& accounts, Clock& clock,
                const JwtAccounts* jwts);
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  /// Whether a client must show credentials at all.
  bool required() const { return configured_ && anonymous_ == nullptr; }
  /// As whom a client is taken that shows none; nullptr when required().
  const IdentityPtr& anonymous() const { return anonymous_; }
  /// INFO must carry a nonce.
  bool needs_nonce() const { return !keys_.empty() || jwts_ != nullptr; }
  AuthAnswer check(const Credentials& given) const;
  /// Of a configured user, by name or key; nullptr = none.
  IdentityPtr identity_of(std::string_view user) const;
  /// nullptr but in operator mode.
  const JwtAuthority* jwts() const { return jwts_.get(); }

 private:
  struct Known {
    std::string password;
    IdentityPtr identity;
  };
  void add(const UserOptions& user, Account& account);
  AuthAnswer check_key(const Credentials& given) const;
  AuthAnswer check_user(const Credentials& given) const;
  AuthAnswer check_certificate(const TlsPeer* peer) const;
  static AuthAnswer compare(std::string_view secret, std::string_view expected,
                            IdentityPtr identity);

  bool configured_ = false;
  IdentityPtr anonymous_;
  std::string token_;
  IdentityPtr token_identity_;
  std::map<std::string, Known, std::less<>> users_;
  std::map<std::string, IdentityPtr, std::less<>> keys_;
  std::string decoy_;  ///< what an unknown user's password is compared with
  bool map_certificates_ = false;
  std::unique_ptr<JwtAuthority> jwts_;  ///< in operator mode
  Clock& clock_;
  Accounts& accounts_;
};

}  // namespace sluice
