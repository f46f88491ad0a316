// Base64 (RFC 4648).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

std::string base64_encode(std::string_view bytes);
/// Strict but for CR and LF, which are skipped (as Go's decoder does). nullopt when malformed.
std::optional<std::string> base64_decode(std::string_view text);

/// The alphabet of URLs, without padding: nonces, signatures, JWTs.
std::string base64url_encode(std::string_view bytes);
/// Takes the standard alphabet and padding as well. nullopt when malformed.
std::optional<std::string> base64url_decode(std::string_view text);

}  // namespace sluice
