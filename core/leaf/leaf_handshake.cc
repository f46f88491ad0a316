#include "leaf/leaf_handshake.h"

#include <simdjson.h>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

namespace dom = simdjson::dom;
using Json = nlohmann::ordered_json;
constexpr size_t kMaxSubjects = 4096;

template <class T>
T field(const dom::object& from, std::string_view key) {
  T value{};
  return from[key].get(value) == simdjson::SUCCESS ? value : T{};
}

std::string text(const dom::object& from, std::string_view key) {
  return std::string(field<std::string_view>(from, key));
}

void read_subjects(const dom::object& from, std::string_view key, std::vector<std::string>& out) {
  dom::array list;
  if (from[key].get(list) != simdjson::SUCCESS) return;
  for (const dom::element item : list) {
    std::string_view subject;
    if (item.get(subject) == simdjson::SUCCESS && out.size() < kMaxSubjects)
      out.emplace_back(subject);
  }
}

void read_permission(const dom::object& from, std::string_view key, SubjectPermission& out) {
  dom::object inner;
  if (from[key].get(inner) != simdjson::SUCCESS) return;
  read_subjects(inner, "allow", out.allow);
  read_subjects(inner, "deny", out.deny);
}

Json permission_json(const SubjectPermission& permission) {
  Json json = Json::object();
  if (!permission.allow.empty()) json["allow"] = permission.allow;
  if (!permission.deny.empty()) json["deny"] = permission.deny;
  return json;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<dom::object> parse_object(dom::parser& parser, std::string_view json, const char* what) {
  dom::element root;
  dom::object object;
  if (parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS ||
      root.get(object) != simdjson::SUCCESS) {
    return fail(Errc::kCorrupt, std::string(what) + " is no JSON object");
  }
  return object;
}

}  // namespace

Result<LeafInfo> parse_leaf_info(std::string_view json) {
  dom::parser parser;
  const auto object = parse_object(parser, json, "INFO");
  if (!object) return std::unexpected(object.error());
  LeafInfo info;
  info.server_id = text(*object, "server_id");
  info.server_name = text(*object, "server_name");
  info.version = text(*object, "version");
  info.domain = text(*object, "domain");
  info.cluster = text(*object, "cluster");
  info.nonce = text(*object, "nonce");
  info.remote_account = text(*object, "remote_account");
  info.client_id = field<uint64_t>(*object, "client_id");
  info.max_payload = field<uint64_t>(*object, "max_payload");
  info.protocol = field<int64_t>(*object, "proto");
  info.auth_required = field<bool>(*object, "auth_required");
  info.tls_required = field<bool>(*object, "tls_required");
  info.jetstream = field<bool>(*object, "jetstream");
  dom::array urls;
  info.leaf = (*object)["leafnode_urls"].get(urls) == simdjson::SUCCESS;
  info.info_on_connect = field<bool>(*object, "info_on_connect");
  info.connect_info = field<bool>(*object, "connect_info");
  read_permission(*object, "import", info.permissions.publish);
  read_permission(*object, "export", info.permissions.subscribe);
  info.restricted = info.permissions != PermissionOptions{};
  return info;
}

std::string make_leaf_info(const LeafInfo& info) {
  Json json = {{"server_id", info.server_id},
               {"server_name", info.server_name},
               {"version", info.version},
               {"proto", kTracingLeafProtocol},
               {"host", info.host},
               {"port", info.port},
               {"headers", true}};
  if (info.auth_required) json["auth_required"] = true;
  if (info.tls_required) json["tls_required"] = true;
  if (info.tls_verify) json["tls_verify"] = true;
  json["max_payload"] = info.max_payload;
  if (info.jetstream) json["jetstream"] = true;
  json["client_id"] = info.client_id;
  if (!info.nonce.empty()) json["nonce"] = info.nonce;
  if (!info.domain.empty()) json["domain"] = info.domain;
  json["leafnode_urls"] = Json::array({info.host + ":" + std::to_string(info.port)});
  json["info_on_connect"] = true;
  if (info.connect_info) {
    json["connect_info"] = true;
    json["remote_account"] = info.remote_account;
    if (info.restricted) {
      json["import"] = permission_json(info.permissions.publish);
      json["export"] = permission_json(info.permissions.subscribe);
    }
  }
  return "INFO " + dump(json) + " \r\n";
}

Result<LeafConnect> parse_leaf_connect(std::string_view json) {
  dom::parser parser;
  const auto object = parse_object(parser, json, "CONNECT");
  if (!object) return std::unexpected(object.error());
  LeafConnect connect;
  connect.version = text(*object, "version");
  connect.server_id = text(*object, "server_id");
  connect.name = text(*object, "name");
  connect.cluster = text(*object, "cluster");
  connect.domain = text(*object, "domain");
  connect.lang = text(*object, "lang");
  connect.user = text(*object, "user");
  connect.pass = text(*object, "pass");
  connect.auth_token = text(*object, "auth_token");
  connect.nkey = text(*object, "nkey");
  connect.sig = text(*object, "sig");
  connect.jwt = text(*object, "jwt");
  connect.remote_account = text(*object, "remote_account");
  connect.protocol = field<int64_t>(*object, "protocol");
  connect.jetstream = field<bool>(*object, "jetstream");
  connect.headers = field<bool>(*object, "headers");
  connect.is_hub = field<bool>(*object, "is_hub");
  connect.compression = text(*object, "compression");
  return connect;
}

std::string make_leaf_connect(const LeafConnect& connect) {
  Json json = {{"version", connect.version},
               {"server_id", connect.server_id},
               {"name", connect.name},
               {"headers", true},
               {"protocol", kTracingLeafProtocol}};
  const auto add = [&json](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  add("cluster", connect.cluster);
  add("domain", connect.domain);
  add("remote_account", connect.remote_account);
  if (connect.jetstream) json["jetstream"] = true;
  add("user", connect.user);
  add("pass", connect.pass);
  add("auth_token", connect.auth_token);
  add("nkey", connect.nkey);
  add("jwt", connect.jwt);
  add("sig", connect.sig);
  return "CONNECT " + dump(json) + "\r\n";
}

}  // namespace sluice
