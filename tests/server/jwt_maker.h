// JWTs of a test: keys from small numbers, claims as JSON, signed as the nats jwt library signs them.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/base64.h"
#include "crypto/nkey.h"
#include "crypto/signature.h"

namespace sluice::test {

struct Signer {
  Signer(NkeyKind kind, uint8_t number) {
    seed.fill(number);
    key = encode_nkey(kind, ed25519_public_key(seed));
  }
  std::string sign(std::string_view text) const {
    const auto signature = sign_ed25519(seed, text);
    return base64url_encode({reinterpret_cast<const char*>(signature.data()), signature.size()});
  }
  /// `nats`: the members of the nats object; `more`: further members of the claims.
  std::string issue(std::string_view subject, std::string_view nats, std::string_view more = "") const {
    const std::string claims =
        fmt::format(R"({{"jti":"x","iat":1000,"iss":"{}","sub":"{}","name":"n"{}{},"nats":{{{},"version":2}}}})",
                    key, subject, more.empty() ? "" : ",", more, nats);
    const std::string body = base64url_encode(R"({"typ":"JWT","alg":"ed25519-nkey"})") + '.' +
                             base64url_encode(claims);
    return body + '.' + sign(body);
  }

  Ed25519Key seed{};
  std::string key;
};

inline constexpr std::string_view kNoLimits =
    R"("limits":{"subs":-1,"data":-1,"payload":-1,"conn":-1,"leaf":-1,"imports":-1,"exports":-1,"wildcards":true})";

}  // namespace sluice::test
