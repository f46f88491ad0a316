#include "crypto/digest.h"

#include <openssl/sha.h>

#include "base/nuid.h"

namespace sluice {

Sha256 sha256(std::string_view bytes) {
  Sha256 digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

std::string to_hex(const Sha256& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string sha1(std::string_view bytes) {
  std::string digest(SHA_DIGEST_LENGTH, '\0');
  SHA1(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
       reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string short_hash(std::string_view name) {
  const Sha256 digest = sha256(name);
  std::string out(8, '0');
  for (size_t i = 0; i < out.size(); ++i) out[i] = kBase62[digest[i] % kBase62.size()];
  return out;
}

}  // namespace sluice
