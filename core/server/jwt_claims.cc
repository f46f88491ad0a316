#include "server/jwt_claims.h"

#include <algorithm>
#include <array>

#include "base/base64.h"
#include "crypto/nkey.h"
#include "crypto/signature.h"

namespace sluice {
namespace {

namespace dom = simdjson::dom;

std::unexpected<Error> corrupt(std::string_view words) {
  return fail(Errc::kCorrupt, std::string(words));
}

/// Of the kinds that issue tokens.
std::optional<std::array<uint8_t, 32>> issuer_key(std::string_view text) {
  for (const NkeyKind kind : {NkeyKind::kAccount, NkeyKind::kOperator, NkeyKind::kUser}) {
    if (auto key = decode_nkey(kind, text)) return key;
  }
  return std::nullopt;
}

struct Parts {
  std::string_view signed_text;  ///< header and claims with the dot between
  std::string_view claims_text;
  std::string header, claims, signature;  ///< decoded
};

Result<Parts> split(std::string_view text) {
  if (text.size() > kMaxJwt_bytes) return corrupt("a JWT is larger than 1 MiB");
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos || text.find('.', second + 1) != std::string_view::npos)
    return corrupt("a JWT has three parts");
  Parts out;
  out.signed_text = text.substr(0, second);
  out.claims_text = text.substr(first + 1, second - first - 1);
  auto header = base64url_decode(text.substr(0, first));
  auto claims = base64url_decode(out.claims_text);
  auto signature = base64url_decode(text.substr(second + 1));
  if (!header || !claims || !signature) return corrupt("a JWT is not base64");
  out.header = std::move(*header);
  out.claims = std::move(*claims);
  out.signature = std::move(*signature);
  return out;
}

/// Version 1 signs the claims alone, version 2 the header too.
Result<bool> is_first_version(const std::string& header, OpenedJwt& jwt) {
  dom::object object;
  if (jwt.header_parser.parse(simdjson::padded_string(header)).get_object().get(object) !=
      simdjson::SUCCESS)
    return corrupt("a JWT's header is no JSON object");
  std::string kind, algorithm;
  const Claims head(object, jwt.wrong);
  head.take("typ", kind);
  head.take("alg", algorithm);
  if (kind != "JWT" && kind != "jwt") return corrupt("a JWT's header has another type");
  if (algorithm != "ed25519" && algorithm != "ed25519-nkey")
    return corrupt("a JWT's algorithm is not ed25519-nkey");
  return algorithm == "ed25519";
}

}  // namespace

std::optional<dom::element> Claims::find(const char* key) const {
  dom::element value;
  if (from_.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

void Claims::take(const char* key, std::string& out) const {
  const auto value = find(key);
  if (!value) return;
  std::string_view text;
  if (value->get_string().get(text) == simdjson::SUCCESS) {
    out = text;
  } else {
    *wrong_ = true;
  }
}

void Claims::take(const char* key, int64_t& out) const {
  const auto value = find(key);
  if (value && value->get_int64().get(out) != simdjson::SUCCESS) *wrong_ = true;
}

void Claims::take(const char* key, int64_t& out, std::string& word) const {
  const auto value = find(key);
  if (value && value->is_string()) return take(key, word);
  take(key, out);
}

void Claims::take(const char* key, bool& out) const {
  const auto value = find(key);
  if (value && value->get_bool().get(out) != simdjson::SUCCESS) *wrong_ = true;
}

void Claims::take(const char* key, std::vector<std::string>& out) const {
  const auto items = list(key);
  if (!items) return;
  for (const dom::element item : *items) {
    std::string_view text;
    if (item.get_string().get(text) != simdjson::SUCCESS) *wrong_ = true;
    out.emplace_back(text);
  }
}

void Claims::take(const char* key, std::map<std::string, int64_t>& out) const {
  const auto entries = object(key);
  if (!entries) return;
  for (const dom::key_value_pair entry : entries->from_) {
    int64_t number = 0;
    if (entry.value.get_int64().get(number) != simdjson::SUCCESS) *wrong_ = true;
    out.emplace(entry.key, number);
  }
}

std::optional<Claims> Claims::object(const char* key) const {
  const auto value = find(key);
  if (!value) return std::nullopt;
  dom::object object;
  if (value->get_object().get(object) == simdjson::SUCCESS) return Claims(object, *wrong_);
  *wrong_ = true;
  return std::nullopt;
}

std::optional<dom::array> Claims::list(const char* key) const {
  const auto value = find(key);
  if (!value) return std::nullopt;
  dom::array items;
  if (value->get_array().get(items) == simdjson::SUCCESS) return items;
  *wrong_ = true;
  return std::nullopt;
}

std::vector<Claims> Claims::objects_of(dom::element from) const {
  std::vector<Claims> out;
  dom::array items;
  if (from.get_array().get(items) != simdjson::SUCCESS) {
    *wrong_ = true;
    return out;
  }
  for (const dom::element item : items) {
    dom::object object;
    if (item.get_object().get(object) == simdjson::SUCCESS) {
      out.emplace_back(object, *wrong_);
    } else {
      *wrong_ = true;
    }
  }
  return out;
}

std::vector<Claims> Claims::objects(const char* key) const {
  const auto value = find(key);
  return value ? objects_of(*value) : std::vector<Claims>();
}

std::vector<std::pair<std::string, std::vector<Claims>>> Claims::lists(const char* key) const {
  std::vector<std::pair<std::string, std::vector<Claims>>> out;
  const auto members = object(key);
  if (!members) return out;
  for (const dom::key_value_pair entry : members->from_)
    out.emplace_back(entry.key, objects_of(entry.value));
  return out;
}

std::vector<std::pair<std::string, std::optional<Claims>>> Claims::mixed(const char* key) const {
  std::vector<std::pair<std::string, std::optional<Claims>>> out;
  const auto items = list(key);
  if (!items) return out;
  for (const dom::element item : *items) {
    std::string_view text;
    dom::object object;
    if (item.get_string().get(text) == simdjson::SUCCESS) {
      out.emplace_back(text, std::nullopt);
    } else if (item.get_object().get(object) == simdjson::SUCCESS) {
      out.emplace_back(std::string(), Claims(object, *wrong_));
    } else {
      *wrong_ = true;
    }
  }
  return out;
}

Status open_jwt(std::string_view text, OpenedJwt& jwt) {
  auto parts = split(text);
  if (!parts) return std::unexpected(parts.error());
  const auto first_version = is_first_version(parts->header, jwt);
  if (!first_version) return std::unexpected(first_version.error());

  dom::object claims;
  if (jwt.parser.parse(simdjson::padded_string(parts->claims)).get_object().get(claims) !=
      simdjson::SUCCESS)
    return corrupt("a JWT's claims are no JSON object");
  jwt.claims = Claims(claims, jwt.wrong);
  jwt.claims.take("iss", jwt.head.issuer);
  const auto key = issuer_key(jwt.head.issuer);
  if (!key || !verify_ed25519({reinterpret_cast<const char*>(key->data()), key->size()},
                              *first_version ? parts->claims_text : parts->signed_text,
                              parts->signature))
    return fail(Errc::kDenied, "a JWT's signature does not hold");

  jwt.claims.take("sub", jwt.head.subject);
  jwt.claims.take("name", jwt.head.name);
  jwt.claims.take("iat", jwt.head.issued_s);
  jwt.claims.take("exp", jwt.head.expires_s);
  jwt.claims.take("nbf", jwt.head.not_before_s);
  const auto nats = jwt.claims.object("nats");
  if (!nats) return corrupt("a JWT has no nats claims");
  jwt.nats = *nats;
  nats->take("type", jwt.type);
  if (jwt.type.empty()) jwt.claims.take("type", jwt.type);  // version 1
  nats->take("tags", jwt.head.tags);
  return {};
}

}  // namespace sluice
