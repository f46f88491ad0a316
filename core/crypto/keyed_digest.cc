#include "crypto/keyed_digest.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"

namespace sluice {
namespace {

constexpr size_t kBlock_bytes = 64;  ///< of SHA-256

}  // namespace

struct KeyedSha256::State {
  EVP_MD_CTX* keyed = EVP_MD_CTX_new();
  EVP_MD_CTX* running = EVP_MD_CTX_new();
  ~State() {
    EVP_MD_CTX_free(keyed);
    EVP_MD_CTX_free(running);
  }
};

KeyedSha256::KeyedSha256(const DigestKey& key) : state_(std::make_unique<State>()) {
  std::array<uint8_t, kBlock_bytes> block{};
  std::copy(key.begin(), key.end(), block.begin());
  SLUICE_CHECK(state_->keyed != nullptr && state_->running != nullptr);
  SLUICE_CHECK(EVP_DigestInit_ex(state_->keyed, EVP_sha256(), nullptr) == 1);
  SLUICE_CHECK(EVP_DigestUpdate(state_->keyed, block.data(), block.size()) == 1);
}

KeyedSha256::~KeyedSha256() = default;

void KeyedSha256::begin() { SLUICE_CHECK(EVP_MD_CTX_copy_ex(state_->running, state_->keyed) == 1); }

void KeyedSha256::update(std::string_view bytes) {
  SLUICE_CHECK(EVP_DigestUpdate(state_->running, bytes.data(), bytes.size()) == 1);
}

Sha256 KeyedSha256::finish() {
  Sha256 digest;
  SLUICE_CHECK(EVP_DigestFinal_ex(state_->running, digest.data(), nullptr) == 1);
  return digest;
}

}  // namespace sluice
