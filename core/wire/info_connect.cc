#include "wire/info_connect.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

namespace dom = simdjson::dom;

bool same_key(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

struct FlagKey {
  std::string_view name;
  bool ConnectOptions::* field;
};
struct TextKey {
  std::string_view name;
  std::string ConnectOptions::* field;
};

constexpr std::array kFlagKeys = {
    FlagKey{"verbose", &ConnectOptions::verbose},
    FlagKey{"pedantic", &ConnectOptions::pedantic},
    FlagKey{"echo", &ConnectOptions::echo},
    FlagKey{"headers", &ConnectOptions::headers},
    FlagKey{"no_responders", &ConnectOptions::no_responders},
    FlagKey{"new_account", &ConnectOptions::new_account},
};
constexpr std::array kTextKeys = {
    TextKey{"name", &ConnectOptions::name},
    TextKey{"lang", &ConnectOptions::lang},
    TextKey{"version", &ConnectOptions::version},
    TextKey{"user", &ConnectOptions::user},
    TextKey{"pass", &ConnectOptions::pass},
    TextKey{"auth_token", &ConnectOptions::auth_token},
    TextKey{"nkey", &ConnectOptions::nkey},
    TextKey{"sig", &ConnectOptions::sig},
    TextKey{"jwt", &ConnectOptions::jwt},
    TextKey{"account", &ConnectOptions::account},
};

/// @return false when the key is known and the value has another type.
bool take_field(std::string_view key, const dom::element& value, ConnectOptions& options) {
  if (value.is_null()) return true;
  for (const FlagKey& flag : kFlagKeys) {
    if (same_key(key, flag.name))
      return value.get_bool().get(options.*flag.field) == simdjson::SUCCESS;
  }
  for (const TextKey& text : kTextKeys) {
    if (!same_key(key, text.name)) continue;
    std::string_view view;
    if (value.get_string().get(view) != simdjson::SUCCESS) return false;
    options.*text.field = view;
    return true;
  }
  if (same_key(key, "protocol"))
    return value.get_int64().get(options.protocol) == simdjson::SUCCESS;
  return true;
}

}  // namespace

Result<ConnectOptions> parse_connect(std::string_view json) {
  dom::parser parser;
  dom::element root;
  // The parser reads beyond the end, so the text is copied into padded memory.
  const bool parsed = parser.parse(simdjson::padded_string(json)).get(root) == simdjson::SUCCESS;
  ConnectOptions options;
  if (parsed && root.is_null()) return options;
  dom::object object;
  if (!parsed || root.get_object().get(object) != simdjson::SUCCESS) {
    return fail(Errc::kCorrupt, "CONNECT is not a JSON object");
  }
  for (const dom::key_value_pair field : object) {
    if (!take_field(field.key, field.value, options)) {
      return fail(Errc::kCorrupt,
                  "CONNECT has a value of the wrong type for " + std::string(field.key));
    }
  }
  return options;
}

std::string make_info_line(const InfoOptions& options) {
  nlohmann::ordered_json json;
  const auto text = [&json](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  const auto flag = [&json](const char* key, bool value) {
    if (value) json[key] = true;
  };
  json["server_id"] = options.server_id;
  json["server_name"] = options.server_name;
  json["version"] = options.version;
  json["proto"] = options.proto;
  text("git_commit", options.git_commit);
  json["go"] = options.go;
  json["host"] = options.host;
  json["port"] = options.port;
  json["headers"] = options.headers;
  flag("auth_required", options.auth_required);
  flag("tls_required", options.tls_required);
  flag("tls_verify", options.tls_verify);
  flag("tls_available", options.tls_available);
  json["max_payload"] = options.max_payload;
  flag("jetstream", options.jetstream);
  if (options.client_id != 0) json["client_id"] = options.client_id;
  text("client_ip", options.client_ip);
  text("nonce", options.nonce);
  text("cluster", options.cluster);
  text("domain", options.domain);
  if (!options.connect_urls.empty()) json["connect_urls"] = options.connect_urls;
  flag("ldm", options.ldm);
  flag("connect_info", options.connect_info);
  text("remote_account", options.remote_account);
  flag("acc_is_sys", options.acc_is_sys);
  if (options.api_lvl != 0) json["api_lvl"] = options.api_lvl;
  text("xkey", options.xkey);
  text("sluice_version", options.sluice_version);
  flag("sluice_zstd", options.sluice_zstd);
  flag("sluice_zstd_dictionaries", options.sluice_zstd_dictionaries);
  return "INFO " + json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
         " \r\n";
}

}  // namespace sluice
