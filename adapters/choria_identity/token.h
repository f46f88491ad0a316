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
  std::string issuer;         ///< words, or "I-<hex key>", or "C-…": somebody the organisation empowered
  int64_t expires_seconds = 0;  ///< 0 = never
};

/// 64 hexadecimal digits → 32 bytes.
std::optional<std::string> decode_hex_key(std::string_view hex);
/// Hexadecimal digits, an even number of them → bytes.
std::optional<std::string> decode_hex(std::string_view hex);

/// @return kInvalidArgument when it is no JWT with a public key. Limits: 16 KiB.
Result<ChoriaToken> parse_token(std::string_view jwt);

/// Whether one of `trusted_keys` (32 bytes each) signed the token (EdDSA) and it has not expired at
/// `now`. The tokens of a chain issuer ("C-…") are kUnsupported, as their rules are published nowhere.
/// @return kDenied with the reason.
Status check_token(std::string_view jwt, const ChoriaToken& token,
                   const std::vector<std::string>& trusted_keys, WallNanos now);

}  // namespace sluice
