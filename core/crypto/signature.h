// Signatures of others, and ours where a protocol asks for one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

using Ed25519Key = std::array<uint8_t, 32>;  ///< public key or seed
using Ed25519Signature = std::array<uint8_t, 64>;

/// RSA PKCS#1 v1.5 over SHA-256 of `message`, with the key of the certificate (PEM, the first one
/// in the text). The certificate's own issuer and dates are not looked at.
/// @return kInvalidArgument: no RSA certificate; kDenied: the signature does not match.
Status verify_rsa_sha256(std::string_view certificate_pem, std::string_view message,
                         std::string_view signature);

/// RFC 8032, pure. `public_key` 32 bytes, `signature` 64 bytes; other sizes are false.
bool verify_ed25519(std::string_view public_key, std::string_view message,
                    std::string_view signature);

/// 64 hexadecimal digits, a line end behind them or not, as Choria keeps seeds in files.
std::optional<Ed25519Key> parse_hex_seed(std::string_view text);

Ed25519Signature sign_ed25519(const Ed25519Key& seed, std::string_view message);
Ed25519Key ed25519_public_key(const Ed25519Key& seed);

}  // namespace sluice
