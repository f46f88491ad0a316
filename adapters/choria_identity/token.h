// Choria's JWTs: whose key a node or a person signs with, and who says so.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

/// The claims that tell who somebody is. Nothing of it is proven before check_token().
struct ChoriaToken {
  std::string public_key;     ///< 32 bytes, Ed25519
  std::string identity;       ///< a server's identity, or a person's caller id
  std::string issuer;         ///< words, or "I-<hex key>", or "C-<id>.<hex key>": somebody the organisation empowered
  std::string id;             ///< a KSUID, which begins with the time of issue
  std::string chain;          ///< signatures of a chain: "<organisation's>.<issuer's>", hexadecimal
  std::string purpose;        ///< "choria_server", "choria_client_id", …
  bool signs_for_others = false;   ///< permissions of a client: `authentication_delegator`,
  bool manages_fleet = false;      ///< `fleet_management`,
  bool manages_signed = false;     ///< `signed_fleet_management`: only what such another signed for them
  int64_t expires_seconds = 0;  ///< 0 = never, as the next three
  int64_t issuer_expires_seconds = 0;
  int64_t issued_seconds = 0;
  int64_t not_before_seconds = 0;
};

/// 64 hexadecimal digits → 32 bytes.
std::optional<std::string> decode_hex_key(std::string_view hex);
/// Hexadecimal digits, an even number of them → bytes.
std::optional<std::string> decode_hex(std::string_view hex);

/// @return kInvalidArgument when it is no JWT with a public key. Limits: 16 KiB.
Result<ChoriaToken> parse_token(std::string_view jwt);

/// Whether one of `trusted_keys` (32 bytes each) signed the token (EdDSA), or empowered the issuer who did, and it is valid at `now`.
///
/// The token of a chain issuer holds the organisation's signature over "<issuer id>.<issuer key>" and the issuer's over
/// "<token id>.<organisation's signature>", and is signed by the issuer; both expiries count. Source: Choria's token library.
/// @return kDenied with the reason.
Status check_token(std::string_view jwt, const ChoriaToken& token,
                   const std::vector<std::string>& trusted_keys, WallNanos now);

}  // namespace sluice
