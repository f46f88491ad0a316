// The text form of NATS keys (the nkeys format).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// The first byte of a public key's text form: five bits that give its first letter.
enum class NkeyKind : uint8_t {
  kAccount = 0 << 3,    ///< 'A'
  kCluster = 2 << 3,    ///< 'C'
  kServer = 13 << 3,    ///< 'N'
  kOperator = 14 << 3,  ///< 'O'
  kUser = 20 << 3,      ///< 'U'
  kCurve = 23 << 3,     ///< 'X'
};

/// 56 characters: base32 (RFC 4648, no padding) of kind, key and CRC-16/XMODEM (little-endian).
std::string encode_nkey(NkeyKind kind, const std::array<uint8_t, 32>& public_key);

/// The reverse. nullopt when the letters, the kind or the checksum are wrong.
std::optional<std::array<uint8_t, 32>> decode_nkey(NkeyKind kind, std::string_view text);
bool is_nkey(NkeyKind kind, std::string_view text);

/// A user's seed in the nkeys text form ("SU…", 58 characters) → its 32 bytes; nullopt when the
/// letters, the kind or the checksum are wrong.
std::optional<std::array<uint8_t, 32>> decode_user_seed(std::string_view text);

/// Whether the holder of the user key `nkey` signed the text `nonce`. `signature` is base64.
bool verify_nonce(std::string_view nkey, std::string_view nonce, std::string_view signature);

}  // namespace sluice
