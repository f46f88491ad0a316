#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/check.h"
#include "crypto/digest.h"

namespace sluice {

bool secrets_equal(std::string_view given, std::string_view expected) {
  const Sha256 a = sha256(given);
  const Sha256 b = sha256(expected);
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string unguessable_bytes(size_t count) {
  std::string bytes(count, '\0');
  const int done =
      RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count));
  SLUICE_CHECK(done == 1);
  return bytes;
}

}  // namespace sluice
