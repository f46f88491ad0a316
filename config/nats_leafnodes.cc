#include <fmt/format.h>

#include <array>

#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"
#include "config/nats_tls.h"

namespace sluice {
namespace {

constexpr std::array kRefused = std::to_array<std::string_view>(
    {"advertise", "min_version", "no_advertise", "isolate_leafnode_interest", "isolate",
     "connect_retry", "users", "default_permissions"});
constexpr std::array kAuthorizationRefused =
    std::to_array<std::string_view>({"nkey", "permissions", "proxy_required", "token"});
constexpr std::array kRemoteRefused = std::to_array<std::string_view>(
    {"hub", "ws_compression", "ws_compress", "websocket_compression", "ws_no_masking",
     "websocket_no_masking", "jetstream_cluster_migrate", "js_cluster_migrate",
     "isolate_leafnode_interest", "isolate", "request_isolation", "disabled", "proxy", "enabled"});
constexpr std::array kRemoteTlsRefused = std::to_array<std::string_view>(
    {"verify", "verify_and_map", "cipher_suites",
     "curve_preferences", "pinned_certs", "min_version", "certs", "ocsp_peer"});

/// Everything but S2, which is not spoken: the other side then stays clear by itself.
void read_compression(NatsReader& reader, const ConfEntry& entry) {
  if (entry.value.kind == ConfValue::Kind::kFlag && !entry.value.flag) return;
  const std::string word = to_conf_lower(entry.value.text);
  if (entry.value.kind == ConfValue::Kind::kText &&
      (word == "off" || word == "disabled" || word == "false" || word == "accept" ||
       word == "not supported")) {
    return;
  }
  reader.tell(entry.value.place,
              "compression of leaf links is not carried out by this version of Sluice; \"off\" and "
              "\"accept\" are taken");
}

void read_users(NatsReader& reader, const ConfValue& value, LeafOptions& out) {
  if (value.kind != ConfValue::Kind::kList)
    return reader.tell(value.place, fmt::format("Expected users field to be an array, got {}", go_type(value)));
  for (const ConfValue& item : value.items) {
    if (item.kind != ConfValue::Kind::kMap) {
      reader.tell(item.place, fmt::format("Expected user entry to be a map/struct, got {}", go_type(item)));
      continue;
    }
    LeafUserOptions& user = out.users.emplace_back();
    for (const ConfEntry& entry : item.entries) {
      const std::string key = to_conf_lower(entry.key);
      if (key == "user" || key == "username") {
        reader.text(entry.value, user.user);
      } else if (key == "pass" || key == "password") {
        reader.text(entry.value, user.password);
      } else if (key == "account") {
        reader.text(entry.value, user.account);
      } else {
        reader.refuse_or_unknown(entry, kAuthorizationRefused);
      }
    }
  }
}

void read_authorization(NatsReader& reader, const ConfValue& value, LeafOptions& out) {
  if (!reader.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "user" || key == "username") {
      reader.text(entry.value, out.user);
    } else if (key == "pass" || key == "password") {
      reader.text(entry.value, out.password);
    } else if (key == "account") {
      reader.text(entry.value, out.account);
    } else if (key == "users") {
      read_users(reader, entry.value, out);
    } else if (key == "timeout") {
      if (auto time = reader.seconds_or_duration(entry.value, "leafnode authorization", key))
        out.auth_timeout = *time;
    } else {
      reader.refuse_or_unknown(entry, kAuthorizationRefused);
    }
  }
  if (!out.users.empty() && (!out.user.empty() || !out.password.empty()))
    reader.tell(value.place, "can not have a single user/pass and a users array");
}

void read_remote_tls(NatsReader& reader, const ConfValue& value, LeafRemoteOptions& out) {
  out.tls = true;
  if (value.kind == ConfValue::Kind::kFlag) {
    out.tls = value.flag;
    return;
  }
  if (!reader.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "cert_file") {
      reader.text(entry.value, out.tls_options.cert_file);
    } else if (key == "key_file") {
      reader.text(entry.value, out.tls_options.key_file);
    } else if (key == "ca_file") {
      reader.text(entry.value, out.tls_options.ca_file);
    } else if (key == "insecure") {
      reader.flag(entry.value, out.tls_options.insecure);
    } else if (key == "handshake_first" || key == "first" || key == "immediate") {
      reader.flag(entry.value, out.tls_first);
    } else if (key == "timeout") {
      (void)reader.seconds_or_duration(entry.value, "tls", key);  // the session's own time covers it
    } else {
      reader.refuse_or_unknown(entry, kRemoteTlsRefused);
    }
  }
}

void read_remote(NatsReader& reader, const ConfValue& value, LeafOptions& leaf) {
  if (!reader.is_map(value)) return;
  LeafRemoteOptions& out = leaf.remotes.emplace_back();
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "url" || key == "urls") {
      reader.texts(entry.value, out.urls);
      for (const std::string& url : out.urls)
        if (url.starts_with("ws://") || url.starts_with("wss://"))
          reader.tell(entry.value.place, "leaf nodes over WebSocket are not carried out by this version of Sluice");
    } else if (key == "account" || key == "local") {
      reader.text(entry.value, out.account);
    } else if (key == "creds" || key == "credentials") {
      reader.text(entry.value, out.credentials_file);
    } else if (key == "nkey" || key == "seed") {
      reader.text(entry.value, out.user_seed);
    } else if (key == "tls") {
      read_remote_tls(reader, entry.value, out);
    } else if (key == "deny_imports" || key == "deny_import") {
      reader.texts(entry.value, out.deny_imports);
    } else if (key == "deny_exports" || key == "deny_export") {
      reader.texts(entry.value, out.deny_exports);
    } else if (key == "no_randomize" || key == "dont_randomize") {
      reader.flag(entry.value, out.no_randomize);
    } else if (key == "first_info_timeout") {
      if (auto time = reader.duration(entry.value, key)) out.first_info_timeout = *time;
    } else if (key == "compression") {
      read_compression(reader, entry);
    } else {
      reader.refuse_or_unknown(entry, kRemoteRefused);
    }
  }
  if (out.urls.empty()) reader.tell(value.place, "remote leafnode configuration has no URL");
}

}  // namespace

bool read_leafnodes_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                           NatsSettings& settings) {
  if (key != "leaf" && key != "leafnodes") return false;
  if (!reader.is_map(entry.value)) return true;
  LeafOptions& out = settings.leafnodes;
  int port = 0;
  for (const ConfEntry& inner : entry.value.entries) {
    const std::string name = to_conf_lower(inner.key);
    if (name == "listen") {
      reader.address(inner.value, out.host, port);
    } else if (name == "port") {
      reader.port(inner.value, name, port);
    } else if (name == "host" || name == "net") {
      reader.text(inner.value, out.host);
    } else if (name == "tls") {
      read_tls_block(reader, inner.value, out.tls);
    } else if (name == "authorization") {
      read_authorization(reader, inner.value, out);
    } else if (name == "remotes") {
      if (!reader.is(inner.value, ConfValue::Kind::kList, "array")) continue;
      for (const ConfValue& item : inner.value.items) read_remote(reader, item, out);
    } else if (name == "reconnect" || name == "reconnect_delay" || name == "reconnect_interval") {
      if (auto time = reader.seconds_or_duration(inner.value, "leafnode", name))
        out.reconnect = *time;
    } else if (name == "compression") {
      read_compression(reader, inner);
    } else {
      reader.refuse_or_unknown(inner, kRefused);
    }
  }
  out.listen = port != 0;
  out.port = port > 0 ? static_cast<uint16_t>(port) : 0;
  return true;
}

}  // namespace sluice
