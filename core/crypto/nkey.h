// The text form of NATS keys (the nkeys format).
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace sluice {

/// The first byte of a public key's text form: five bits that give its first letter.
enum class NkeyKind : uint8_t {
  kAccount = 0 << 3,  ///< 'A'
  kServer = 13 << 3,  ///< 'N'
  kUser = 20 << 3,    ///< 'U'
};

/// 56 characters: base32 (RFC 4648, no padding) of kind, key and CRC-16/XMODEM (little-endian).
std::string encode_nkey(NkeyKind kind, const std::array<uint8_t, 32>& public_key);

}  // namespace sluice
