// The JWTs of operator mode: users, accounts, operators, activations, as the public nats jwt library
// (v1 and v2) writes them.
//
// A token is three base64url parts: header, claims, signature. What decodes here is whole and was
// signed by the key that it names as its issuer; whether that issuer may say so is for others.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "server/account_options.h"

namespace sluice {

inline constexpr size_t kMaxJwt_bytes = 1024 * 1024;

struct JwtHead {
  std::string subject = {};  ///< public key that the token is about
  std::string issuer = {};   ///< public key that signed it
  std::string name = {};
  int64_t issued_s = 0;      ///< seconds since 1970, as the next two
  int64_t expires_s = 0;     ///< 0 = never
  int64_t not_before_s = 0;  ///< 0 = always
  std::vector<std::string> tags = {};
};

/// A span of each day, in seconds since midnight; start after end: over midnight.
struct DaySpan {
  int32_t start_s = 0;
  int32_t end_s = 0;
};

/// What a user may do; of a user's token, or of a scoped signing key as the template of its users.
struct UserGrant {
  PermissionOptions permissions = {};
  int64_t max_subscriptions = 0;  ///< -1 = without limit
  int64_t max_payload = 0;        ///< -1 = without limit
  std::vector<std::string> sources = {};  ///< "192.0.2.0/24"; empty = everywhere
  std::vector<DaySpan> times = {};        ///< empty = always
  std::string times_location = {};        ///< time zone of `times`; "" = UTC
  bool bearer = false;                    ///< no signature of the nonce is asked
  std::vector<std::string> connection_types = {};  ///< empty = all
  /// Nothing is set: what a user under a scoped key must look like.
  bool blank = false;
};

struct UserJwt {
  JwtHead head;
  UserGrant grant;
  std::string issuer_account = {};  ///< when a signing key of the account issued it
};

/// An export of an account's token, and who of the importers may no longer have it.
struct JwtExport {
  ExportOptions options;
  std::map<std::string, int64_t> revocations = {};  ///< account key or "*" → issued until then
};

struct AccountJwt {
  JwtHead head;
  /// Name and nkey are the account's key; without exports, which are in `exports`.
  AccountOptions options;
  std::vector<JwtExport> exports = {};
  /// Keys that may issue users; with a template when the key is scoped.
  std::map<std::string, std::optional<UserGrant>> signing_keys = {};
  std::map<std::string, int64_t> revocations = {};  ///< user key or "*" → issued until then
  bool disallow_bearer = false;
  std::string text = {};  ///< the token itself
};

struct OperatorJwt {
  JwtHead head;
  std::vector<std::string> signing_keys = {};
  std::string system_account = {};
  bool strict_signing_keys = false;  ///< the identity key itself signs no accounts
};

/// Whose export `subject` of kind `service` `issuer_account` opens to the account `head.subject`.
struct ActivationJwt {
  JwtHead head;
  std::string import_subject = {};
  bool service = false;
  std::string issuer_account = {};
};

/// kCorrupt: no token, cut off, or claims of another kind than theirs; kDenied: the signature does
/// not hold; kUnsupported: claims that this version can't keep (they are named).
Result<UserJwt> read_user_jwt(std::string_view token);
Result<AccountJwt> read_account_jwt(std::string_view token);
Result<OperatorJwt> read_operator_jwt(std::string_view token);
Result<ActivationJwt> read_activation_jwt(std::string_view token);

}  // namespace sluice
