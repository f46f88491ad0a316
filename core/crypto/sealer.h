// Bytes made unreadable and unforgeable by a key: what lies encrypted on a disk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace sluice {

enum class SealCipher : uint8_t { kAes256Gcm = 1, kChaCha20Poly1305 = 2 };

/// What seals and opens. Shared between threads, so never changed.
struct SealingKeys {
  struct Key {
    uint64_t id = 0;  ///< says which key it is and nothing of it
    std::array<uint8_t, 32> bytes{};
  };
  SealCipher cipher = SealCipher::kAes256Gcm;
  std::vector<Key> keys;  ///< the first one seals, each opens

  bool knows(uint64_t id) const;
  ~SealingKeys();
};

/// The key for `purpose` from a secret of any length (HKDF-SHA-256, RFC 5869).
SealingKeys::Key derive_sealing_key(std::string_view secret, std::string_view purpose);

/// One thread's. No nonce comes twice: 8 random bytes drawn for each Sealer (and again after 2^32 seals) and a count.
class Sealer {
 public:
  /// cipher u8, three zeros, nonce 12 bytes, tag 16 bytes.
  static constexpr size_t kSeal_bytes = 32;

  /// `keys` has at least one.
  explicit Sealer(std::shared_ptr<const SealingKeys> keys);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  /// Encrypts `bytes` where they stand and fills `seal`, which also vouches for `beside`.
  void seal(std::span<std::byte> bytes, std::span<const std::byte> beside, std::byte* seal);
  /// The reverse. False, and `bytes` as they were, when no key fits or a bit of anything was changed.
  [[nodiscard]] bool open(std::span<std::byte> bytes, std::span<const std::byte> beside, const std::byte* seal);

  const SealingKeys& keys() const { return *keys_; }

 private:
  struct Context;
  Context& context(SealCipher cipher, size_t key, bool sealing);
  void draw_epoch();

  std::shared_ptr<const SealingKeys> keys_;
  std::array<std::byte, 8> epoch_{};
  uint32_t count_ = 0;
  std::vector<std::unique_ptr<Context>> contexts_;
  std::vector<std::byte> opened_;
};

}  // namespace sluice
