#include "crypto/signature.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

#include "base/check.h"
#include "crypto/openssl_pointers.h"

namespace sluice {
namespace {

using KeyPtr = OpensslPtr<EVP_PKEY, EVP_PKEY_free>;
using DigestPtr = OpensslPtr<EVP_MD_CTX, EVP_MD_CTX_free>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
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

}  // namespace sluice
