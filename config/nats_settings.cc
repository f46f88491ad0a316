#include "config/nats_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/time_format.h"
#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"

namespace sluice {
namespace {

/// What the reference knows and this version does not do.
constexpr std::array kRefused = std::to_array<std::string_view>({
    "https",
    "https_port",
    "cluster",
    "gateway",
    "logfile_size_limit",
    "logfile_max_num",
    "syslog",
    "remote_syslog",
    "proxy_protocol",
    "mqtt",
    "feature_flags",
    "default_js_domain",
});

/// What tunes a part of the reference that Sluice has no counterpart of.
constexpr std::array kWithoutEffect = std::to_array<std::string_view>(
    {"disable_sublist_cache", "no_sublist_cache", "prof_port", "prof_block_rate",
     "connect_error_reports", "reconnect_error_reports", "max_traced_msg_len", "trace_verbose",
     "trace_headers"});

constexpr std::array<NatsStanza, 9> kStanzas{
    read_network_stanza,       read_limits_stanza,    read_log_stanza,
    read_authorization_stanza, read_accounts_stanza,  read_tls_stanza,
    read_websocket_stanza,     read_leafnodes_stanza, read_jetstream_stanza};

/// "a" → "/a"; a slash at the end goes.
void read_base_path(std::string& path) {
  while (path.ends_with('/')) path.pop_back();
  if (!path.empty() && path[0] != '/') path.insert(0, "/");
}

/// A text of words, or a list of texts.
void read_tags(NatsReader& reader, const ConfValue& value, std::vector<std::string>& out) {
  std::vector<std::string> texts;
  reader.texts(value, texts);
  for (const std::string& text : texts) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find_first_of(" \t,", at), text.size());
      if (end > at) out.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }
}

void read_metadata(NatsReader& reader, const ConfValue& value,
                   std::map<std::string, std::string>& out) {
  if (!reader.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) reader.text(entry.value, out[entry.key]);
}

/// A client that takes nothing for write_deadline is cut, which is the reference's default too.
void read_write_timeout(NatsReader& reader, const ConfValue& value) {
  std::string policy = "default";
  reader.text(value, policy);
  if (policy == "retry") {
    reader.tell(value.place,
                "\"write_timeout: retry\" is not carried out by this version of Sluice");
  } else if (policy != "default" && policy != "close") {
    reader.tell(
        value.place,
        fmt::format("write_timeout must be 'default', 'close' or 'retry' (received '{}')", policy));
  }
}

}  // namespace

bool read_network_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                         NatsSettings& settings) {
  const ConfValue& value = entry.value;
  if (key == "listen") {
    reader.address(value, settings.server.host, settings.port);
  } else if (key == "host" || key == "net") {
    reader.text(value, settings.server.host);
  } else if (key == "port") {
    reader.port(value, key, settings.port);
  } else if (key == "http") {
    reader.address(value, settings.monitor_host, settings.monitor_port);
  } else if (key == "http_port" || key == "monitor_port") {
    reader.port(value, key, settings.monitor_port);
  } else if (key == "http_base_path") {
    reader.text(value, settings.http_base_path);
    read_base_path(settings.http_base_path);
  } else if (key == "client_advertise") {
    reader.text(value, settings.server.client_advertise);
  } else if (key == "server_tags") {
    read_tags(reader, value, settings.server.tags);
  } else if (key == "server_metadata") {
    read_metadata(reader, value, settings.server.metadata);
  } else if (key == "server_name") {
    reader.text(value, settings.server.server_name);
    if (settings.server.server_name.find(' ') != std::string::npos) {
      reader.tell(value.place, "server name cannot contain spaces");
    }
  } else {
    return false;
  }
  return true;
}

bool read_limits_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                        NatsSettings& settings) {
  const ConfValue& value = entry.value;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  ServerOptions& server = settings.server;
  if (key == "max_payload") {
    auto bytes = reader.integer(value, 1, static_cast<int64_t>(kMaxRecord_bytes - kMiB), key);
    if (bytes) server.max_payload = static_cast<size_t>(*bytes);
  } else if (key == "max_control_line") {
    if (auto bytes = reader.integer(value, 512, int64_t{1} << 20, key))
      server.max_control_line = static_cast<size_t>(*bytes);
  } else if (key == "max_pending") {
    if (auto bytes = reader.integer(value, 1, kMost, key))
      server.max_pending = static_cast<size_t>(*bytes);
  } else if (key == "max_connections" || key == "max_conn") {
    auto number = reader.integer(value, -1, kMost, key);
    if (number && *number < 0) server.max_connections = std::numeric_limits<size_t>::max();
    if (number && *number > 0) server.max_connections = static_cast<size_t>(*number);
  } else if (key == "max_subscriptions" || key == "max_subs") {
    reader.count(value, key, server.max_subscriptions);
  } else if (key == "max_closed_clients") {
    if (auto number = reader.integer(value, 0, 1'000'000, key))
      server.max_closed_connections = static_cast<size_t>(*number);
  } else if (key == "ping_interval") {
    if (auto time = reader.duration(value, key)) server.ping_interval = *time;
  } else if (key == "ping_max") {
    auto number = reader.integer(value, 0, 1'000'000, key);
    if (number && *number > 0) server.ping_max = static_cast<uint32_t>(*number);
  } else if (key == "write_deadline") {
    if (auto time = reader.duration(value, key)) server.write_deadline = *time;
  } else if (key == "max_sub_tokens") {
    if (auto number = reader.integer(value, 0, 255, key))
      server.max_subject_tokens = static_cast<size_t>(*number);
  } else if (key == "no_header_support") {
    bool none = false;
    reader.flag(value, none);
    server.headers = !none;
  } else if (key == "no_fast_producer_stall") {
    reader.flag(value, server.no_fast_producer_stall);
  } else if (key == "write_timeout") {
    read_write_timeout(reader, value);
  } else if (key == "lame_duck_duration") {
    auto time = reader.duration(value, key);
    if (time && *time < std::chrono::seconds(30)) {
      reader.tell(value.place, "invalid lame_duck_duration of " + format_go_duration(*time) +
                                   ", minimum is 30 seconds");
    } else if (time) {
      settings.lame_duck_duration = *time;
    }
  } else if (key == "lame_duck_grace_period") {
    auto time = reader.duration(value, key);
    if (time) settings.lame_duck_grace = *time;
  } else {
    return false;
  }
  return true;
}

bool read_log_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                     NatsSettings& settings) {
  const ConfValue& value = entry.value;
  if (key == "debug") {
    reader.flag(value, settings.debug);
  } else if (key == "trace") {
    reader.flag(value, settings.trace);
  } else if (key == "logtime") {
    reader.flag(value, settings.logtime);
  } else if (key == "logtime_utc") {
    reader.flag(value, settings.logtime_utc);
  } else if (key == "logfile" || key == "log_file") {
    reader.text(value, settings.log_file);
  } else if (key == "pidfile" || key == "pid_file") {
    reader.text(value, settings.pid_file);
  } else if (key == "ports_file_dir") {
    reader.text(value, settings.ports_file_dir);
  } else {
    return false;
  }
  return true;
}

Result<NatsSettings> read_nats_settings(const NatsConf& conf) {
  NatsReader reader(conf);
  NatsSettings settings;
  for (const ConfEntry& entry : conf.root.entries) {
    const std::string key = to_conf_lower(entry.key);
    const bool taken = std::ranges::any_of(
        kStanzas, [&](NatsStanza stanza) { return stanza(reader, key, entry, settings); });
    if (taken) continue;
    if (std::ranges::find(kWithoutEffect, key) != kWithoutEffect.end()) {
      reader.note(entry.value.place, fmt::format("\"{}\" is without effect here", entry.key));
    } else {
      reader.refuse_or_unknown(entry, kRefused);
    }
  }
  // Accounts of their own leave "$G" without JetStream.
  const ServerOptions& server = settings.server;
  settings.server.global_jetstream =
      std::ranges::all_of(server.accounts, [&](const AccountOptions& account) {
        return account.name == server.system_account;
      });
  if (!reader.errors().empty()) return fail(Errc::kInvalidArgument, reader.errors());
  settings.warnings = reader.warnings();
  settings.notes = reader.notes();
  return settings;
}

}  // namespace sluice
