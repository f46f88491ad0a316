#include "config/nats_settings.h"

#include <algorithm>
#include <array>
#include <limits>

#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"

namespace sluice {
namespace {

/// What the reference knows and this version does not do.
constexpr std::array kRefused = std::to_array<std::string_view>({"client_advertise",
                                                                 "trace_verbose",
                                                                 "trace_headers",
                                                                 "disable_sublist_cache",
                                                                 "no_sublist_cache",
                                                                 "https",
                                                                 "https_port",
                                                                 "http_base_path",
                                                                 "cluster",
                                                                 "gateway",
                                                                 "logfile_size_limit",
                                                                 "logfile_max_num",
                                                                 "syslog",
                                                                 "remote_syslog",
                                                                 "prof_port",
                                                                 "prof_block_rate",
                                                                 "proxy_protocol",
                                                                 "max_traced_msg_len",
                                                                 "max_sub_tokens",
                                                                 "write_timeout",
                                                                 "lame_duck_duration",
                                                                 "no_header_support",
                                                                 "connect_error_reports",
                                                                 "reconnect_error_reports",
                                                                 "mqtt",
                                                                 "server_tags",
                                                                 "server_metadata",
                                                                 "feature_flags",
                                                                 "default_js_domain",
                                                                 "no_fast_producer_stall"});

constexpr std::array<NatsStanza, 9> kStanzas{
    read_network_stanza,       read_limits_stanza,    read_log_stanza,
    read_authorization_stanza, read_accounts_stanza,  read_tls_stanza,
    read_websocket_stanza,     read_leafnodes_stanza, read_jetstream_stanza};

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
  } else if (key == "lame_duck_grace_period") {
    if (auto time = reader.duration(value, key)) settings.lame_duck_grace = *time;
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
    if (!taken) reader.refuse_or_unknown(entry, kRefused);
  }
  // Accounts of their own leave "$G" without JetStream.
  const ServerOptions& server = settings.server;
  settings.server.global_jetstream =
      std::ranges::all_of(server.accounts, [&](const AccountOptions& account) {
        return account.name == server.system_account;
      });
  if (!reader.errors().empty()) return fail(Errc::kInvalidArgument, reader.errors());
  settings.warnings = reader.warnings();
  return settings;
}

}  // namespace sluice
