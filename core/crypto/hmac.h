// Keyed digests, where a protocol authenticates messages by a shared secret.
#pragma once

#include <string_view>

#include "crypto/digest.h"

namespace sluice {

/// HMAC-SHA-256 (RFC 2104).
Sha256 hmac_sha256(std::string_view key, std::string_view message);

}  // namespace sluice
