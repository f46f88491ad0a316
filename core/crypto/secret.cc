#include "crypto/secret.h"

#include <openssl/crypto.h>

#include "crypto/digest.h"

namespace sluice {

bool secrets_equal(std::string_view given, std::string_view expected) {
  const Sha256 a = sha256(given);
  const Sha256 b = sha256(expected);
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace sluice
