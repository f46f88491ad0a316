#include "crypto/password.h"

#include <crypt.h>
#include <openssl/crypto.h>

#include <memory>

namespace sluice {
namespace {

constexpr size_t kBcrypt_bytes = 60;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool is_bcrypt(std::string_view text) {
  return text.size() > 7 && text.starts_with("$2") &&
         std::string_view("abxy").find(text[2]) != std::string_view::npos && text[3] == '$' &&
         is_digit(text[4]) && is_digit(text[5]) && text[6] == '$';
}

bool is_usable_bcrypt(std::string_view hash) {
  if (!is_bcrypt(hash) || hash.size() != kBcrypt_bytes) return false;
  const int cost = (hash[4] - '0') * 10 + (hash[5] - '0');
  return cost >= 4 && cost <= kMaxBcryptCost;
}

bool bcrypt_matches(const std::string& hash, const std::string& secret) {
  if (!is_usable_bcrypt(hash) || secret.find('\0') != std::string::npos) return false;
  const auto data = std::make_unique<crypt_data>();
  const char* made = crypt_r(secret.c_str(), hash.c_str(), data.get());
  if (made == nullptr || std::string_view(made).size() != hash.size()) return false;
  const bool same = CRYPTO_memcmp(made, hash.data(), hash.size()) == 0;
  OPENSSL_cleanse(data.get(), sizeof(crypt_data));
  return same;
}

}  // namespace sluice
