#include "crypto/signature.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

#include "base/check.h"

namespace sluice {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using CertPtr = std::unique_ptr<X509, Freed<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free>>;

constexpr size_t kMaxCertificate_bytes = 64 * 1024;
constexpr uint32_t kSeedPrefix = 18 << 3;  // 'S'
constexpr uint32_t kUserPrefix = 20 << 3;  // 'U'

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

uint32_t crc16_xmodem(const std::array<uint8_t, 36>& raw, size_t count) {
  uint32_t crc = 0;
  for (size_t i = 0; i < count; ++i) {
    crc ^= static_cast<uint32_t>(raw[i]) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return crc;
}

}  // namespace

Status verify_rsa_sha256(std::string_view certificate_pem, std::string_view message,
                         std::string_view signature) {
  if (certificate_pem.size() > kMaxCertificate_bytes)
    return fail(Errc::kInvalidArgument, "certificate too large");
  const BioPtr bio(
      BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size())));
  SLUICE_CHECK(bio);
  const CertPtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  EVP_PKEY* key = certificate ? X509_get0_pubkey(certificate.get()) : nullptr;
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
    return fail(Errc::kInvalidArgument, "not a certificate with an RSA key");
  const DigestPtr digest(EVP_MD_CTX_new());
  EVP_PKEY_CTX* context = nullptr;  // owned by digest
  if (EVP_DigestVerifyInit(digest.get(), &context, EVP_sha256(), nullptr, key) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) != 1)
    return fail(Errc::kInvalidArgument, "the certificate's key can't verify");
  if (EVP_DigestVerify(digest.get(), bytes_of(signature), signature.size(), bytes_of(message),
                       message.size()) != 1)
    return fail(Errc::kDenied, "the signature does not match");
  return {};
}

bool verify_ed25519(std::string_view public_key, std::string_view message,
                    std::string_view signature) {
  if (public_key.size() != 32 || signature.size() != 64) return false;
  const KeyPtr key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(public_key), 32));
  if (!key) return false;
  const DigestPtr digest(EVP_MD_CTX_new());
  return EVP_DigestVerifyInit(digest.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(digest.get(), bytes_of(signature), signature.size(), bytes_of(message),
                          message.size()) == 1;
}

Ed25519Signature sign_ed25519(const Ed25519Key& seed, std::string_view message) {
  const KeyPtr key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  const DigestPtr digest(EVP_MD_CTX_new());
  Ed25519Signature signature{};
  size_t size = signature.size();
  SLUICE_CHECK(key && digest);
  SLUICE_CHECK(EVP_DigestSignInit(digest.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  SLUICE_CHECK(EVP_DigestSign(digest.get(), signature.data(), &size, bytes_of(message),
                              message.size()) == 1);
  SLUICE_CHECK(size == signature.size());
  return signature;
}

Ed25519Key ed25519_public_key(const Ed25519Key& seed) {
  const KeyPtr key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  Ed25519Key public_key{};
  size_t size = public_key.size();
  SLUICE_CHECK(key && EVP_PKEY_get_raw_public_key(key.get(), public_key.data(), &size) == 1);
  return public_key;
}

std::optional<Ed25519Key> decode_user_seed(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  if (text.size() != 58) return std::nullopt;
  std::array<uint8_t, 36> raw{};
  size_t filled = 0;
  uint32_t bits = 0;
  int bit_count = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = ((bits << 5) | static_cast<uint32_t>(value)) & 0xfff;
    bit_count += 5;
    if (bit_count < 8) continue;
    bit_count -= 8;
    raw[filled++] = static_cast<uint8_t>(bits >> bit_count);
  }
  // Two bytes of prefixes, five bits each used: 'S', then the kind split over both; key; CRC.
  const uint32_t prefix = raw[0] & 0xf8U;
  const uint32_t kind = ((raw[0] & 7U) << 5) | ((raw[1] & 0xf8U) >> 3);
  if (filled != 36 || prefix != kSeedPrefix || kind != kUserPrefix) return std::nullopt;
  const uint32_t crc = raw[34] | (static_cast<uint32_t>(raw[35]) << 8);
  if (crc != crc16_xmodem(raw, 34)) return std::nullopt;
  Ed25519Key seed{};
  for (size_t i = 0; i < seed.size(); ++i) seed[i] = raw[i + 2];
  return seed;
}

}  // namespace sluice
