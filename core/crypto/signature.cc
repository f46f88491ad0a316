#include "crypto/signature.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <charconv>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "crypto/digest.h"
#include "crypto/openssl_pointers.h"

namespace sluice {
namespace {

using KeyPtr = OpensslPtr<EVP_PKEY, EVP_PKEY_free>;
using DigestPtr = OpensslPtr<EVP_MD_CTX, EVP_MD_CTX_free>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

constexpr size_t kKeptKeys_count = 4096;  // some 4 KB each

/// The keys of the certificates seen last. Reading a certificate takes OpenSSL 3 six times as long as verifying a
/// signature (107 and 17 us, RSA 2048), and a node sends the same one every time.
class RsaKeys {
 public:
  /// Null: no certificate with an RSA key. The key lives until the next call.
  EVP_PKEY* of(std::string_view certificate_pem) {
    const Sha256 digest = sha256(certificate_pem);
    std::string name(digest.begin(), digest.end());
    if (const auto known = keys_.find(name); known != keys_.end()) return known->second.get();
    KeyPtr key = read(certificate_pem);
    if (!key) return nullptr;
    if (oldest_first_.size() == kKeptKeys_count) {
      keys_.erase(oldest_first_.front());
      oldest_first_.pop_front();
    }
    oldest_first_.push_back(name);
    return keys_.emplace(std::move(name), std::move(key)).first->second.get();
  }

 private:
  static KeyPtr read(std::string_view certificate_pem) {
    const BioPtr bio(BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size())));
    SLUICE_CHECK(bio);
    const CertPtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    KeyPtr key(certificate ? X509_get_pubkey(certificate.get()) : nullptr);
    return key && EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA ? std::move(key) : nullptr;
  }

  std::unordered_map<std::string, KeyPtr> keys_;  ///< by the digest of the certificate's text
  std::deque<std::string> oldest_first_;
};

}  // namespace

Status verify_rsa_sha256(std::string_view certificate_pem, std::string_view message,
                         std::string_view signature) {
  if (certificate_pem.size() > kMaxCertificate_bytes)
    return fail(Errc::kInvalidArgument, "certificate too large");
  static thread_local RsaKeys keys;
  EVP_PKEY* key = keys.of(certificate_pem);
  if (key == nullptr) return fail(Errc::kInvalidArgument, "not a certificate with an RSA key");
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

std::optional<Ed25519Key> parse_hex_seed(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  Ed25519Key seed{};
  if (text.size() != seed.size() * 2) return std::nullopt;
  for (size_t i = 0; i < seed.size(); ++i) {
    const char* at = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(at, at + 2, seed[i], 16);
    if (error != std::errc{} || end != at + 2) return std::nullopt;
  }
  return seed;
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

}  // namespace sluice
