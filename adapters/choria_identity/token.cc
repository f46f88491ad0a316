#include "adapters/choria_identity/token.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
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

constexpr std::string_view kChainIssuer = "C-";

std::string lower_case(std::string_view hex) {
  std::string out(hex);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

/// Seconds since 1970 in a KSUID: 27 digits of base 62, of whose 20 bytes the first four count from 2014.
std::optional<int64_t> ksuid_seconds(std::string_view id) {
  constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  constexpr int64_t kEpoch = 1'400'000'000;
  if (id.size() != 27) return std::nullopt;
  std::array<uint32_t, 5> words{};  // most significant first
  for (const char c : id) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    uint64_t carry = digit;
    for (auto word = words.rbegin(); word != words.rend(); ++word) {
      carry += uint64_t{*word} * 62;
      *word = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) return std::nullopt;
  }
  return int64_t{words[0]} + kEpoch;
}

/// The key of a token's chain issuer, once it is proven that one of `trusted` empowered that issuer and the issuer made the token's id.
Result<std::string> chain_issuer_key(const ChoriaToken& token, const std::vector<std::string>& trusted, int64_t now_seconds) {
  const auto denied = [](const char* why) { return fail(Errc::kDenied, why); };
  if (token.expires_seconds == 0 || token.issued_seconds == 0) return denied("the token is by a chain issuer and has no times of issue and expiry");
  if (token.issuer_expires_seconds == 0) return denied("the token does not say when its issuer expires");
  if (token.issuer_expires_seconds <= now_seconds) return denied("the token's issuer has expired");
  if (ksuid_seconds(token.id) != token.issued_seconds) return denied("the token's id is not made of its time of issue");
  const std::string_view issuer = std::string_view(token.issuer).substr(kChainIssuer.size());
  const size_t dot = issuer.find('.');
  const std::string_view issuer_id = issuer.substr(0, dot);
  const auto key = dot == std::string_view::npos ? std::nullopt : decode_hex_key(issuer.substr(dot + 1));
  if (!key || issuer_id.empty()) return denied("the token names no usable issuer");
  const std::string_view chain = token.chain;
  const size_t middle = chain.find('.');
  const std::string_view by_organisation = chain.substr(0, middle);
  const auto first = decode_hex(by_organisation);
  const auto second = middle == std::string_view::npos ? std::nullopt : decode_hex(chain.substr(middle + 1));
  if (!first || !second) return denied("the token's chain of signatures is damaged");
  const std::string empowered = std::string(issuer_id) + "." + lower_case(issuer.substr(dot + 1));
  const bool known = std::ranges::any_of(trusted, [&](const std::string& organisation) { return verify_ed25519(organisation, empowered, *first); });
  if (!known) return denied("the token's issuer is not empowered by a trusted organisation");
  if (!verify_ed25519(*key, token.id + "." + std::string(by_organisation), *second)) return denied("the token's issuer did not make its id");
  return *key;
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
  token.id = text("jti");
  token.chain = text("tcs");
  token.purpose = text("purpose");
  const auto may = [&](std::string_view permission) {
    bool granted = false;
    return claims["permissions"][permission].get(granted) == simdjson::SUCCESS && granted;
  };
  token.signs_for_others = may("authentication_delegator");
  token.manages_fleet = may("fleet_management");
  token.manages_signed = may("signed_fleet_management");
  const auto seconds = [&](std::string_view claim) {
    int64_t whole = 0;
    double fraction = 0;
    if (claims[claim].get(whole) == simdjson::SUCCESS) return whole;
    if (claims[claim].get(fraction) == simdjson::SUCCESS && fraction > 0 && fraction < 9e18) whole = static_cast<int64_t>(fraction);
    return whole;
  };
  token.expires_seconds = seconds("exp");
  token.issuer_expires_seconds = seconds("issexp");
  token.issued_seconds = seconds("iat");
  token.not_before_seconds = seconds("nbf");
  return token;
}

Status check_token(std::string_view jwt, const ChoriaToken& token,
                   const std::vector<std::string>& trusted_keys, WallNanos now) {
  const int64_t seconds = now / 1'000'000'000;
  if (token.expires_seconds != 0 && token.expires_seconds <= seconds)
    return fail(Errc::kDenied, "the token has expired");
  if (token.not_before_seconds > seconds) return fail(Errc::kDenied, "the token is not valid yet");
  const auto parts = split(jwt);
  const auto header = parts ? base64url_decode(parts->header) : std::nullopt;
  const auto signature = parts ? base64url_decode(parts->signature) : std::nullopt;
  if (!header || !signature || header->find("\"EdDSA\"") == std::string::npos)
    return fail(Errc::kDenied, "the token is not signed with EdDSA");
  if (token.issuer.starts_with(kChainIssuer)) {
    const auto key = chain_issuer_key(token, trusted_keys, seconds);
    if (!key) return std::unexpected(key.error());
    if (verify_ed25519(*key, parts->signed_part, *signature)) return {};
    return fail(Errc::kDenied, "the token is not by the issuer it names");
  }
  // Older tokens name their issuer in words only, so the signature is what decides.
  const bool trusted = std::ranges::any_of(trusted_keys, [&](const std::string& key) {
    return verify_ed25519(key, parts->signed_part, *signature);
  });
  if (!trusted) return fail(Errc::kDenied, "the token is not by a trusted issuer");
  return {};
}

}  // namespace sluice
