#include "crypto/sealer.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/endian.h"
#include "crypto/hmac.h"

namespace sluice {

namespace {

constexpr size_t kNonceAt = 4;
constexpr size_t kNonce_bytes = 12;
constexpr size_t kTagAt = kNonceAt + kNonce_bytes;
constexpr int kTag_bytes = 16;

const unsigned char* in(const std::byte* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }
unsigned char* out(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

}  // namespace

bool SealingKeys::knows(uint64_t id) const {
  return std::any_of(keys.begin(), keys.end(), [id](const Key& key) { return key.id == id; });
}

SealingKeys::~SealingKeys() {
  for (Key& key : keys) OPENSSL_cleanse(key.bytes.data(), key.bytes.size());
}

SealingKeys::Key derive_sealing_key(std::string_view secret, std::string_view purpose) {
  const Sha256 extracted = hmac_sha256(std::string(32, '\0'), secret);
  const std::string_view key(reinterpret_cast<const char*>(extracted.data()), extracted.size());
  const auto expand = [&](std::string_view what) {
    return hmac_sha256(key, std::string(purpose) + std::string(what) + '\x01');  // one block: T(1)
  };
  SealingKeys::Key derived;
  derived.bytes = expand(" key");
  const Sha256 id = expand(" id");
  derived.id = load_le64(reinterpret_cast<const std::byte*>(id.data()));
  return derived;
}

/// A cipher with its key, which each message reuses with another nonce: the key's schedule is the dear part.
struct Sealer::Context {
  Context(SealCipher its_cipher, size_t its_key, bool seals) : cipher(its_cipher), key(its_key), sealing(seals) {}
  ~Context() { EVP_CIPHER_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  SealCipher cipher;
  size_t key;
  bool sealing;
  EVP_CIPHER_CTX* evp = EVP_CIPHER_CTX_new();
};

Sealer::Sealer(std::shared_ptr<const SealingKeys> keys) : keys_(std::move(keys)) {
  SLUICE_CHECK(keys_ != nullptr && !keys_->keys.empty());
  draw_epoch();
}

Sealer::~Sealer() { OPENSSL_cleanse(opened_.data(), opened_.size()); }

void Sealer::draw_epoch() {
  SLUICE_CHECK(RAND_bytes(out(epoch_.data()), static_cast<int>(epoch_.size())) == 1);
  count_ = 0;
}

Sealer::Context& Sealer::context(SealCipher cipher, size_t key, bool sealing) {
  for (const auto& known : contexts_) {
    if (known->cipher == cipher && known->key == key && known->sealing == sealing) return *known;
  }
  auto fresh = std::make_unique<Context>(cipher, key, sealing);
  const EVP_CIPHER* algorithm = cipher == SealCipher::kAes256Gcm ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
  SLUICE_CHECK(fresh->evp != nullptr && EVP_CipherInit_ex(fresh->evp, algorithm, nullptr, keys_->keys[key].bytes.data(), nullptr,
                                                          sealing ? 1 : 0) == 1);
  return *contexts_.emplace_back(std::move(fresh));
}

void Sealer::seal(std::span<std::byte> bytes, std::span<const std::byte> beside, std::byte* seal) {
  if (count_ == UINT32_MAX) draw_epoch();
  std::memset(seal, 0, kSeal_bytes);
  seal[0] = static_cast<std::byte>(keys_->cipher);
  std::memcpy(seal + kNonceAt, epoch_.data(), epoch_.size());
  store_le32(seal + kNonceAt + epoch_.size(), count_++);
  EVP_CIPHER_CTX* evp = context(keys_->cipher, 0, true).evp;
  int length = 0;
  bool good = EVP_EncryptInit_ex(evp, nullptr, nullptr, nullptr, in(seal + kNonceAt)) == 1 &&
              EVP_EncryptUpdate(evp, nullptr, &length, in(beside.data()), static_cast<int>(beside.size())) == 1;
  if (!bytes.empty()) {
    good = good && EVP_EncryptUpdate(evp, out(bytes.data()), &length, in(bytes.data()), static_cast<int>(bytes.size())) == 1;
  }
  std::byte none[16];
  good = good && EVP_EncryptFinal_ex(evp, out(none), &length) == 1 &&
         EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, kTag_bytes, seal + kTagAt) == 1;
  SLUICE_CHECK(good);
}

bool Sealer::open(std::span<std::byte> bytes, std::span<const std::byte> beside, const std::byte* seal) {
  const auto cipher = static_cast<SealCipher>(seal[0]);
  if (cipher != SealCipher::kAes256Gcm && cipher != SealCipher::kChaCha20Poly1305) return false;
  opened_.resize(std::max<size_t>(bytes.size(), 1));
  for (size_t key = 0; key < keys_->keys.size(); ++key) {
    EVP_CIPHER_CTX* evp = context(cipher, key, false).evp;
    int length = 0;
    std::byte tag[kTag_bytes];
    std::memcpy(tag, seal + kTagAt, sizeof tag);
    bool good = EVP_DecryptInit_ex(evp, nullptr, nullptr, nullptr, in(seal + kNonceAt)) == 1 &&
                EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, kTag_bytes, tag) == 1 &&
                EVP_DecryptUpdate(evp, nullptr, &length, in(beside.data()), static_cast<int>(beside.size())) == 1;
    if (!bytes.empty()) {
      good = good &&
             EVP_DecryptUpdate(evp, out(opened_.data()), &length, in(bytes.data()), static_cast<int>(bytes.size())) == 1;
    }
    std::byte none[16];
    if (!good || EVP_DecryptFinal_ex(evp, out(none), &length) != 1) continue;
    if (!bytes.empty()) std::memcpy(bytes.data(), opened_.data(), bytes.size());
    return true;
  }
  return false;
}

}  // namespace sluice
