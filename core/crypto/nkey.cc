#include "crypto/nkey.h"

#include <cstddef>
#include <span>

#include "base/base64.h"
#include "crypto/signature.h"

namespace sluice {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

uint16_t crc16_xmodem(std::span<const uint8_t> bytes) {
  uint32_t crc = 0;
  for (const uint8_t byte : bytes) {
    crc ^= static_cast<uint32_t>(byte) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return static_cast<uint16_t>(crc);
}

/// The bytes that `text` stands for. @return false for a letter outside the alphabet, or when `raw` is not just filled.
bool decode_base32(std::string_view text, std::span<uint8_t> raw) {
  if (text.size() != (raw.size() * 8 + 4) / 5) return false;
  size_t filled = 0;
  uint32_t bits = 0;
  int bit_count = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return false;
    bits = ((bits << 5) | static_cast<uint32_t>(value)) & 0xfff;
    bit_count += 5;
    if (bit_count < 8) continue;
    bit_count -= 8;
    raw[filled++] = static_cast<uint8_t>(bits >> bit_count);
  }
  return filled == raw.size();
}

/// The last two bytes are the checksum of the others, little-endian.
bool ends_with_its_checksum(std::span<const uint8_t> raw) {
  const size_t length = raw.size() - 2;
  const uint16_t crc = crc16_xmodem(raw.first(length));
  return raw[length] == (crc & 0xff) && raw[length + 1] == (crc >> 8);
}

constexpr uint32_t kSeedPrefix = 18 << 3;  // 'S'

}  // namespace

std::string encode_nkey(NkeyKind kind, const std::array<uint8_t, 32>& public_key) {
  std::array<uint8_t, 35> raw{};
  raw[0] = static_cast<uint8_t>(kind);
  for (size_t i = 0; i < public_key.size(); ++i) raw[i + 1] = public_key[i];
  const uint16_t crc = crc16_xmodem(std::span(raw).first(33));
  raw[33] = static_cast<uint8_t>(crc & 0xff);
  raw[34] = static_cast<uint8_t>(crc >> 8);

  // 35 bytes are 280 bits: 56 letters without rest.
  std::string text;
  text.reserve(56);
  uint32_t bits = 0;
  int bit_count = 0;
  for (const uint8_t byte : raw) {
    bits = (bits << 8) | byte;
    bit_count += 8;
    while (bit_count >= 5) {
      bit_count -= 5;
      text += kAlphabet[(bits >> bit_count) & 31];
    }
  }
  return text;
}

std::optional<std::array<uint8_t, 32>> decode_nkey(NkeyKind kind, std::string_view text) {
  std::array<uint8_t, 35> raw{};
  if (!decode_base32(text, raw) || raw[0] != static_cast<uint8_t>(kind) ||
      !ends_with_its_checksum(raw))
    return std::nullopt;
  std::array<uint8_t, 32> key{};
  for (size_t i = 0; i < key.size(); ++i) key[i] = raw[i + 1];
  return key;
}

std::optional<std::array<uint8_t, 32>> decode_user_seed(std::string_view text) {
  std::array<uint8_t, 36> raw{};
  if (!decode_base32(text, raw)) return std::nullopt;
  // Two bytes of prefixes, five bits each used: 'S', then the kind split over both; key; CRC.
  const uint32_t prefix = raw[0] & 0xf8U;
  const uint32_t kind = ((raw[0] & 7U) << 5) | ((raw[1] & 0xf8U) >> 3);
  if (prefix != kSeedPrefix || kind != static_cast<uint32_t>(NkeyKind::kUser) ||
      !ends_with_its_checksum(raw))
    return std::nullopt;
  Ed25519Key seed{};
  for (size_t i = 0; i < seed.size(); ++i) seed[i] = raw[i + 2];
  return seed;
}

bool is_nkey(NkeyKind kind, std::string_view text) { return decode_nkey(kind, text).has_value(); }

bool verify_nonce(std::string_view nkey, std::string_view nonce, std::string_view signature) {
  constexpr size_t kMaxSignature_chars = 128;
  const auto key = decode_nkey(NkeyKind::kUser, nkey);
  if (!key || nonce.empty() || signature.size() > kMaxSignature_chars) return false;
  const auto bytes = base64url_decode(signature);
  return bytes &&
         verify_ed25519({reinterpret_cast<const char*>(key->data()), key->size()}, nonce, *bytes);
}

}  // namespace sluice
