#include "adapters/choria_identity/token.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>

#include "base/base64.h"
#include "crypto/signature.h"

namespace sluice {
namespace {

constexpr size_t kMaxToken_bytes = 16'384;

/// header.claims.signature
struct Parts {
  std::string_view header, claims, signature, signed_part;
};
std::optional<Parts> split(std::string_view jwt) {
  if (jwt.size() > kMaxToken_bytes) return std::nullopt;
  const size_t first = jwt.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t last = jwt.find('.', first + 1);
  if (last == std::string_view::npos || jwt.find('.', last + 1) != std::string_view::npos)
    return std::nullopt;
  return Parts{jwt.substr(0, first), jwt.substr(first + 1, last - first - 1), jwt.substr(last + 1),
               jwt.substr(0, last)};
}

}  // namespace

std::optional<std::string> decode_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    if (error != std::errc{} || end != hex.data() + i + 2) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

std::optional<std::string> decode_hex_key(std::string_view hex) {
  return hex.size() == 64 ? decode_hex(hex) : std::nullopt;
}

Result<ChoriaToken> parse_token(std::string_view jwt) {
  static thread_local simdjson::dom::parser parser;
  const auto parts = split(jwt);
  const auto json = parts ? base64url_decode(parts->claims) : std::nullopt;
  simdjson::dom::element claims;
  if (!json || parser.parse(json->data(), json->size()).get(claims) != simdjson::SUCCESS ||
      !claims.is_object())
    return fail(Errc::kInvalidArgument, "not a JWT");
  const auto text = [&](std::string_view key) {
    std::string_view value;
    return claims[key].get(value) == simdjson::SUCCESS ? value : std::string_view();
  };
  ChoriaToken token;
  const auto key = decode_hex_key(text("public_key"));
  if (!key) return fail(Errc::kInvalidArgument, "the token holds no public key");
  token.public_key = *key;
  token.identity = text("identity");
  if (token.identity.empty()) token.identity = text("callerid");
  token.issuer = text("iss");
  int64_t expires = 0;
  double fraction = 0;
  if (claims["exp"].get(expires) == simdjson::SUCCESS)
    token.expires_seconds = expires;
  else if (claims["exp"].get(fraction) == simdjson::SUCCESS && fraction > 0 && fraction < 9e18)
    token.expires_seconds = static_cast<int64_t>(fraction);
  return token;
}

Status check_token(std::string_view jwt, const ChoriaToken& token,
                   const std::vector<std::string>& trusted_keys, WallNanos now) {
  if (token.expires_seconds != 0 && token.expires_seconds <= now / 1'000'000'000)
    return fail(Errc::kDenied, "the token has expired");
  if (token.issuer.starts_with("C-"))
    return fail(Errc::kUnsupported, "the token is by a chain issuer, which can't be checked");
  const auto parts = split(jwt);
  const auto header = parts ? base64url_decode(parts->header) : std::nullopt;
  const auto signature = parts ? base64url_decode(parts->signature) : std::nullopt;
  if (!header || !signature || header->find("\"EdDSA\"") == std::string::npos)
    return fail(Errc::kDenied, "the token is not signed with EdDSA");
  // Older tokens name their issuer in words only, so the signature is what decides.
  const bool trusted = std::ranges::any_of(trusted_keys, [&](const std::string& key) {
    return verify_ed25519(key, parts->signed_part, *signature);
  });
  if (!trusted) return fail(Errc::kDenied, "the token is not by a trusted issuer");
  return {};
}

}  // namespace sluice
