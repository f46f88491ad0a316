// SHA-256 and the short names made of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

using Sha256 = std::array<uint8_t, 32>;

Sha256 sha256(std::string_view bytes);

/// The digest of bytes that come piece by piece.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;

  void update(std::string_view bytes);
  /// Of all that came; nothing may come after.
  Sha256 finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Two lower-case digits a byte.
std::string to_hex(std::span<const uint8_t> bytes);

/// 20 bytes. Only where a protocol asks for it (RFC 6455); nothing is secured by it.
std::string sha1(std::string_view bytes);

/// 32 lower-case digits. As sha1(): Choria names reply subjects by it.
std::string md5_hex(std::string_view bytes);

/// 8 characters that stand for `name` in subjects and ids: each of the first 8 bytes of its SHA-256
/// modulo 62 in "0-9A-Za-z", as nats-server names accounts and peers ("$G" → "szMpdrwD").
std::string short_hash(std::string_view name);

}  // namespace sluice
