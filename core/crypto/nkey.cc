#include "crypto/nkey.h"

#include <cstddef>
#include <span>

namespace sluice {
namespace {

uint16_t crc16_xmodem(std::span<const uint8_t> bytes) {
  uint32_t crc = 0;
  for (const uint8_t byte : bytes) {
    crc ^= static_cast<uint32_t>(byte) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return static_cast<uint16_t>(crc);
}

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
      text += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(bits >> bit_count) & 31];
    }
  }
  return text;
}

}  // namespace sluice
