#include "remote/handshake.h"

#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "base/base64.h"
#include "crypto/digest.h"
#include "crypto/nkey.h"
#include "crypto/signature.h"
#include "io/read_file.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxCredentials_bytes = 64 * 1024;
constexpr size_t kMaxConnectUrls_count = 64;
constexpr std::string_view kJwtBlock = "BEGIN NATS USER JWT";
constexpr std::string_view kSeedBlock = "BEGIN USER NKEY SEED";

template <class T>
T field(simdjson::dom::element from, std::string_view key, T otherwise) {
  T value{};
  return from[key].get(value) == simdjson::SUCCESS ? value : otherwise;
}

/// What stands between the lines "-----BEGIN <kind>-----" and "------END …".
std::string_view block(std::string_view text, std::string_view begin) {
  const size_t at = text.find(begin);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + begin.size());
  const size_t start = text.find_first_not_of("-\r\n ");
  if (start == std::string_view::npos) return {};
  text.remove_prefix(start);
  return text.substr(0, text.find_first_of("\r\n "));
}

/// A file that holds one thing: in its block of a credentials file, or bare.
Result<std::string> read_one(Disk& disk, const std::string& path, std::string_view begin) {
  const auto text = read_file(disk, path, kMaxCredentials_bytes);
  if (!text) return std::unexpected(text.error());
  std::string_view found = block(*text, begin);
  if (found.empty() && !text->contains("-----BEGIN")) {
    const size_t start = std::min(text->find_first_not_of(" \t\r\n"), text->size());
    found = std::string_view(*text).substr(start);
    found = found.substr(0, found.find_first_of(" \t\r\n"));
  }
  if (found.empty()) return fail(Errc::kInvalidArgument, path + " does not hold what it should");
  return std::string(found);
}

Result<Credentials> read_credentials(Disk& disk, const LinkOptions& options) {
  if (!options.credentials_file.empty()) {
    const auto text = read_file(disk, options.credentials_file, kMaxCredentials_bytes);
    if (!text) return std::unexpected(text.error());
    return parse_credentials(*text);
  }
  auto jwt = read_one(disk, options.jwt_file, kJwtBlock);
  if (!jwt) return std::unexpected(jwt.error());
  auto seed = read_one(disk, options.nkey_seed_file, kSeedBlock);
  if (!seed) return std::unexpected(seed.error());
  return Credentials{*std::move(jwt), *std::move(seed)};
}

Status sign_in(Disk& disk, const LinkOptions& options, const ServerInfo& info, Json& connect) {
  const auto credentials = read_credentials(disk, options);
  if (!credentials) return std::unexpected(credentials.error());
  const auto seed = decode_user_seed(credentials->seed);
  if (!seed) return fail(Errc::kInvalidArgument, "the credentials' seed is no user seed");
  const Ed25519Signature signature = sign_ed25519(*seed, info.nonce);
  connect["jwt"] = credentials->jwt;
  connect["sig"] = base64url_encode({reinterpret_cast<const char*>(signature.data()), signature.size()});
  return {};
}

/// Choria's brokers look for the token where others have theirs, and for the nonce's signature at `sig`.
Status sign_in_with_choria_token(Disk& disk, const LinkOptions& options, const ServerInfo& info, Json& connect) {
  auto token = read_choria_token(disk, options.choria_token_file);
  if (!token) return std::unexpected(token.error());
  auto text = read_file(disk, options.choria_seed_file, kMaxCredentials_bytes);
  if (!text) return std::unexpected(text.error());
  const auto seed = parse_hex_seed(*text);
  std::ranges::fill(*text, '\0');
  if (!seed) return fail(Errc::kInvalidArgument, options.choria_seed_file + " does not hold 64 hexadecimal digits");
  if (info.nonce.empty()) return fail(Errc::kDenied, "the server gave no nonce to sign: it is no broker that takes tokens");
  const Ed25519Signature signature = sign_ed25519(*seed, info.nonce);
  connect["auth_token"] = *token;
  connect["jwt"] = *std::move(token);
  connect["sig"] = base64url_encode({reinterpret_cast<const char*>(signature.data()), signature.size()});
  return {};
}

}  // namespace

Result<ServerInfo> parse_server_info(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  simdjson::dom::element root;
  if (parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS ||
      root.get(object) != simdjson::SUCCESS)
    return fail(Errc::kCorrupt, "INFO is no JSON object");
  ServerInfo info;
  info.max_payload = field<uint64_t>(root, "max_payload", info.max_payload);
  info.tls_required = field(root, "tls_required", false);
  info.tls_available = field(root, "tls_available", false);
  info.lame_duck = field(root, "ldm", false);
  info.sluice_zstd = field(root, "sluice_zstd", false);
  info.sluice_zstd_dictionaries = field(root, "sluice_zstd_dictionaries", false);
  info.nonce = field<std::string_view>(root, "nonce", "");
  info.server_name = field<std::string_view>(root, "server_name", "");
  simdjson::dom::array urls;
  if (root["connect_urls"].get(urls) == simdjson::SUCCESS) {
    for (const auto url : urls) {
      std::string_view text;
      if (url.get(text) == simdjson::SUCCESS && info.connect_urls.size() < kMaxConnectUrls_count)
        info.connect_urls.emplace_back(text);
    }
  }
  return info;
}

Result<Credentials> parse_credentials(std::string_view text) {
  Credentials credentials{std::string(block(text, kJwtBlock)),
                          std::string(block(text, kSeedBlock))};
  if (credentials.jwt.empty() || credentials.seed.empty())
    return fail(Errc::kInvalidArgument, "the credentials file holds no user JWT and seed");
  return credentials;
}

Result<std::string> read_choria_token(Disk& disk, const std::string& path) {
  auto token = read_file(disk, path, kMaxCredentials_bytes);
  if (!token) return token;
  while (token->ends_with('\n') || token->ends_with('\r')) token->pop_back();
  if (token->empty() || token->find_first_of(" \t\r\n") != std::string::npos)
    return fail(Errc::kInvalidArgument, path + " holds no token: one line is expected");
  return token;
}

std::string choria_token_owner(std::string_view token) {
  const size_t first = token.find('.');
  if (first == std::string_view::npos) return {};
  const auto claims = base64url_decode(token.substr(first + 1, token.find('.', first + 1) - first - 1));
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (!claims || parser.parse(claims->data(), claims->size()).get(root) != simdjson::SUCCESS) return {};
  const std::string owner(field<std::string_view>(root, "identity", ""));
  return owner.empty() ? std::string(field<std::string_view>(root, "callerid", "")) : owner;
}

std::string choria_inbox_prefix(std::string_view collective, std::string_view owner) {
  return std::string(collective) + ".reply." + md5_hex(owner);
}

Result<std::string> make_connect_line(Disk& disk, const LinkOptions& options, const ServerUrl& url,
                                      const ServerInfo& info, bool tls) {
  Json connect = {{"verbose", false},     {"pedantic", false}, {"tls_required", tls},
                  {"name", options.name}, {"lang", "sluice"},  {"version", "0.1.0"},
                  {"protocol", 1},        {"echo", true},      {"headers", true},
                  {"no_responders", true}};
  if (!options.credentials_file.empty() || !options.jwt_file.empty()) {
    if (auto signed_in = sign_in(disk, options, info, connect); !signed_in)
      return std::unexpected(signed_in.error());
  } else if (!options.choria_token_file.empty()) {
    if (auto signed_in = sign_in_with_choria_token(disk, options, info, connect); !signed_in)
      return std::unexpected(signed_in.error());
  } else if (!url.user.empty() && !url.has_password) {
    connect["auth_token"] = url.user;
  } else if (!url.user.empty()) {
    connect["user"] = url.user;
    connect["pass"] = url.password;
  } else if (!options.token.empty()) {
    connect["auth_token"] = options.token;
  } else if (!options.user.empty()) {
    connect["user"] = options.user;
    connect["pass"] = options.password;
  }
  return "CONNECT " + connect.dump(-1, ' ', false, Json::error_handler_t::replace) + "\r\n";
}

}  // namespace sluice
