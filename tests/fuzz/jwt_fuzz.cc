// Any bytes as the claims of a token whose signature holds, and as the token itself: reading stays
// inside them, and what comes out is about a key of the right kind.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "base/check.h"
#include "crypto/nkey.h"
#include "crypto/signature.h"
#include "server/jwt.h"

namespace {

using namespace sluice;

std::string sign(std::string_view claims) {
  Ed25519Key seed{};
  seed.fill(7);
  const std::string body = base64url_encode(R"({"typ":"JWT","alg":"ed25519-nkey"})") + '.' + base64url_encode(claims);
  const Ed25519Signature signature = sign_ed25519(seed, body);
  return body + '.' + base64url_encode({reinterpret_cast<const char*>(signature.data()), signature.size()});
}

void read_all(std::string_view token) {
  if (const auto user = read_user_jwt(token)) SLUICE_CHECK(is_nkey(NkeyKind::kUser, user->head.subject));
  if (const auto account = read_account_jwt(token)) {
    SLUICE_CHECK(is_nkey(NkeyKind::kAccount, account->head.subject));
    SLUICE_CHECK(account->options.name == account->head.subject);
  }
  if (const auto chief = read_operator_jwt(token)) SLUICE_CHECK(is_nkey(NkeyKind::kOperator, chief->head.subject));
  if (const auto leave = read_activation_jwt(token)) SLUICE_CHECK(is_nkey(NkeyKind::kAccount, leave->head.subject));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read_all(bytes);
  read_all(sign(bytes));
  return 0;
}
