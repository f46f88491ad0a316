#include "config/nats_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "config/nats_conf_lexical.h"
#include "config/units.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// What the reference knows and this version does not do. A plain `false` asks for nothing.
constexpr std::array kTopRefused = std::to_array<std::string_view>({"client_advertise",
                                                                    "trace_verbose",
                                                                    "trace_headers",
                                                                    "mappings",
                                                                    "maps",
                                                                    "disable_sublist_cache",
                                                                    "no_sublist_cache",
                                                                    "accounts",
                                                                    "default_sentinel",
                                                                    "https",
                                                                    "https_port",
                                                                    "http_base_path",
                                                                    "cluster",
                                                                    "gateway",
                                                                    "leaf",
                                                                    "leafnodes",
                                                                    "logfile_size_limit",
                                                                    "logfile_max_num",
                                                                    "syslog",
                                                                    "remote_syslog",
                                                                    "prof_port",
                                                                    "prof_block_rate",
                                                                    "proxy_protocol",
                                                                    "max_traced_msg_len",
                                                                    "max_sub_tokens",
                                                                    "tls",
                                                                    "ocsp",
                                                                    "ocsp_cache",
                                                                    "allow_non_tls",
                                                                    "write_timeout",
                                                                    "lame_duck_duration",
                                                                    "operator",
                                                                    "operators",
                                                                    "roots",
                                                                    "root",
                                                                    "root_operators",
                                                                    "root_operator",
                                                                    "resolver",
                                                                    "account_resolver",
                                                                    "resolver_tls",
                                                                    "resolver_preload",
                                                                    "resolver_pinned_accounts",
                                                                    "system_account",
                                                                    "system",
                                                                    "no_system_account",
                                                                    "no_system",
                                                                    "no_sys_acc",
                                                                    "no_header_support",
                                                                    "trusted",
                                                                    "trusted_keys",
                                                                    "connect_error_reports",
                                                                    "reconnect_error_reports",
                                                                    "websocket",
                                                                    "ws",
                                                                    "mqtt",
                                                                    "server_tags",
                                                                    "server_metadata",
                                                                    "feature_flags",
                                                                    "default_js_domain",
                                                                    "no_fast_producer_stall",
                                                                    "proxies"});
constexpr std::array kJetStreamRefused = std::to_array<std::string_view>({"key",
                                                                          "ek",
                                                                          "encryption_key",
                                                                          "prev_key",
                                                                          "prev_ek",
                                                                          "prev_encryption_key",
                                                                          "cipher",
                                                                          "unique_tag",
                                                                          "limits",
                                                                          "tpm",
                                                                          "extension_hint",
                                                                          "max_outstanding_catchup",
                                                                          "max_buffered_size",
                                                                          "max_buffered_msgs",
                                                                          "request_queue_limit",
                                                                          "info_queue_limit",
                                                                          "meta_compact",
                                                                          "meta_compact_size",
                                                                          "meta_compact_sync",
                                                                          "max_concurrent_io"});
constexpr std::array kAuthorizationRefused =
    std::to_array<std::string_view>({"default_permissions", "default_permission", "permissions",
                                     "auth_callout", "auth_hook", "proxy_required"});
constexpr std::array kUserRefused = std::to_array<std::string_view>(
    {"nkey", "permissions", "permission", "authorization", "allowed_connection_types",
     "connection_types", "clients", "proxy_required"});

std::string_view go_type(const ConfValue& value) {
  switch (value.kind) {
    case ConfValue::Kind::kFlag:
      return "bool";
    case ConfValue::Kind::kInteger:
      return "int64";
    case ConfValue::Kind::kReal:
      return "float64";
    case ConfValue::Kind::kText:
      return "string";
    case ConfValue::Kind::kList:
      return "[]interface {}";
    case ConfValue::Kind::kMap:
      return "map[string]interface {}";
  }
  return "";
}

bool is_bcrypt(std::string_view text) {
  return text.size() > 7 && text.starts_with("$2") && text[3] == '$';
}

class Reader {
 public:
  explicit Reader(const NatsConf& conf) : conf_(conf) {}
  Result<NatsSettings> run();

 private:
  using Value = const ConfValue&;
  using Key = std::string_view;

  std::string at(const ConfPlace& place) const {
    return fmt::format("{}:{}:{}: ", conf_.files[place.file], place.line, place.column);
  }
  void tell(const ConfPlace& place, std::string_view words) {
    errors_ += fmt::format("{}{}\n", at(place), words);
  }
  template <class Names>
  void refuse_or_unknown(const ConfEntry& entry, const Names& refused);

  // One value of a kind, or told.
  bool is(Value value, ConfValue::Kind kind, std::string_view wanted);
  void text(Value value, std::string& out);
  void flag(Value value, bool& out);
  std::optional<int64_t> integer(Value value, int64_t low, int64_t high, Key key);
  std::optional<nanoseconds> duration(Value value, Key key);
  std::optional<int64_t> storage_size(Value value, std::string_view name);
  void address(Value value, std::string& host, int& port);
  void port(Value value, Key key, int& out);
  void count(Value value, Key key, size_t& out);
  void store_dir(Value value);

  bool network_key(Key key, Value value);
  bool limit_key(Key key, Value value);
  bool log_key(Key key, Value value);
  void authorization(Value value);
  void authorization_timeout(Value value);
  void users(Value value);
  void user(Value value);
  void secret(Value value, std::string& out);
  void jetstream(Value value);
  void jetstream_block(Value value);
  void sync_interval(Value value);

  const NatsConf& conf_;
  NatsSettings out_;
  std::string errors_;
};

Result<NatsSettings> Reader::run() {
  for (const ConfEntry& entry : conf_.root.entries) {
    const std::string key = to_conf_lower(entry.key);
    Value value = entry.value;
    if (network_key(key, value) || limit_key(key, value) || log_key(key, value)) continue;
    if (key == "authorization") {
      authorization(value);
    } else if (key == "no_auth_user") {
      text(value, out_.server.no_auth_user);
    } else if (key == "jetstream") {
      jetstream(value);
    } else if (key == "store_dir" || key == "storedir") {
      store_dir(value);
    } else {
      refuse_or_unknown(entry, kTopRefused);
    }
  }
  if (!errors_.empty()) return fail(Errc::kInvalidArgument, std::move(errors_));
  return std::move(out_);
}

template <class Names>
void Reader::refuse_or_unknown(const ConfEntry& entry, const Names& refused) {
  if (std::find(refused.begin(), refused.end(), to_conf_lower(entry.key)) != refused.end()) {
    if (entry.value.kind == ConfValue::Kind::kFlag && !entry.value.flag) return;
    tell(entry.value.place,
         fmt::format("\"{}\" is not carried out by this version of Sluice", entry.key));
  } else if (!entry.used_as_variable) {
    tell(entry.value.place, fmt::format("unknown field \"{}\"", entry.key));
  }
}

bool Reader::is(Value value, ConfValue::Kind kind, std::string_view wanted) {
  if (value.kind == kind) return true;
  tell(value.place,
       fmt::format("interface conversion: interface {{}} is {}, not {}", go_type(value), wanted));
  return false;
}

void Reader::text(Value value, std::string& out) {
  if (is(value, ConfValue::Kind::kText, "string")) out = value.text;
}

void Reader::flag(Value value, bool& out) {
  if (is(value, ConfValue::Kind::kFlag, "bool")) out = value.flag;
}

std::optional<int64_t> Reader::integer(Value value, int64_t low, int64_t high, Key key) {
  if (!is(value, ConfValue::Kind::kInteger, "int64")) return std::nullopt;
  if (value.integer >= low && value.integer <= high) return value.integer;
  tell(value.place,
       fmt::format("{} of {} is not between {} and {}", key, value.integer, low, high));
  return std::nullopt;
}

std::optional<nanoseconds> Reader::duration(Value value, Key key) {
  if (value.kind == ConfValue::Kind::kInteger) {
    constexpr int64_t kMax_s = std::numeric_limits<int64_t>::max() / 1'000'000'000;
    auto seconds = integer(value, 1, kMax_s, key);
    if (!seconds) return std::nullopt;
    out_.warnings.push_back(
        at(value.place) +
        fmt::format("invalid use of field \"{0}\": {0} should be converted to a duration", key));
    return std::chrono::seconds(*seconds);
  }
  if (!is(value, ConfValue::Kind::kText, "string")) return std::nullopt;
  auto time = parse_time(value.text);
  if (!time) {
    tell(value.place,
         fmt::format("error parsing {}: time: invalid duration \"{}\"", key, value.text));
    return std::nullopt;
  }
  if (time->count() > 0) return *time;
  tell(value.place, fmt::format("{} must be longer than nothing", key));
  return std::nullopt;
}

/// A number, or a text such as "10G" (powers of 1024).
std::optional<int64_t> Reader::storage_size(Value value, std::string_view name) {
  if (value.kind != ConfValue::Kind::kText) {
    auto number = integer(value, std::numeric_limits<int64_t>::min(),
                          std::numeric_limits<int64_t>::max(), name);
    return number ? std::optional(std::max<int64_t>(*number, -1)) : std::nullopt;
  }
  const std::string& all = value.text;
  const std::string digits = all.substr(0, all.empty() ? 0 : all.size() - 1);
  int64_t number = 0;
  auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (bad != std::errc() || end != digits.data() + digits.size()) {
    tell(value.place,
         fmt::format("{} strconv.ParseInt: parsing \"{}\": invalid syntax", name, digits));
    return std::nullopt;
  }
  const size_t unit = std::string_view("KMGT").find(all.back());
  int64_t bytes = 0;
  if (unit == std::string_view::npos || number < 0 ||
      __builtin_mul_overflow(number, int64_t{1} << (10 * (unit + 1)), &bytes)) {
    tell(value.place, fmt::format("{} sizes defined as strings must end in K, M, G, T", name));
    return std::nullopt;
  }
  return bytes;
}

void Reader::port(Value value, Key key, int& out) {
  if (auto number = integer(value, -1, 65535, key)) out = static_cast<int>(*number);
}

/// 4222, ":4222", "host:4222", "[::1]:4222".
void Reader::address(Value value, std::string& host, int& port_out) {
  if (value.kind == ConfValue::Kind::kInteger) {
    port(value, "port", port_out);
    return;
  }
  if (value.kind != ConfValue::Kind::kText) {
    tell(value.place, fmt::format("expected port or host:port, got {}", go_type(value)));
    return;
  }
  const size_t colon = value.text.rfind(':');
  if (colon == std::string::npos) {
    tell(value.place, fmt::format("could not parse address string \"{}\"", value.text));
    return;
  }
  std::string_view name = std::string_view(value.text).substr(0, colon);
  const std::string_view digits = std::string_view(value.text).substr(colon + 1);
  if (name.starts_with('[') && name.ends_with(']')) {
    name = name.substr(1, name.size() - 2);
  } else if (name.find(':') != std::string_view::npos) {
    tell(value.place, fmt::format("could not parse address string \"{}\"", value.text));
    return;
  }
  int number = 0;
  auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (bad != std::errc() || end != digits.data() + digits.size() || number < -1 || number > 65535) {
    tell(value.place, fmt::format("could not parse port \"{}\"", digits));
    return;
  }
  host = name;
  port_out = number;
}

bool Reader::network_key(Key key, Value value) {
  if (key == "listen") {
    address(value, out_.server.host, out_.port);
  } else if (key == "host" || key == "net") {
    text(value, out_.server.host);
  } else if (key == "port") {
    port(value, key, out_.port);
  } else if (key == "http") {
    address(value, out_.monitor_host, out_.monitor_port);
  } else if (key == "http_port" || key == "monitor_port") {
    port(value, key, out_.monitor_port);
  } else if (key == "server_name") {
    text(value, out_.server.server_name);
    if (out_.server.server_name.find(' ') != std::string::npos) {
      tell(value.place, "server name cannot contain spaces");
    }
  } else {
    return false;
  }
  return true;
}

/// 0 and less: without limit.
void Reader::count(Value value, Key key, size_t& out) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (auto number = integer(value, -1, kMost, key))
    out = static_cast<size_t>(std::max<int64_t>(*number, 0));
}

bool Reader::limit_key(Key key, Value value) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  ServerOptions& server = out_.server;
  if (key == "max_payload") {
    auto bytes = integer(value, 1, static_cast<int64_t>(kMaxRecord_bytes - kMiB), key);
    if (bytes) server.max_payload = static_cast<size_t>(*bytes);
  } else if (key == "max_control_line") {
    if (auto bytes = integer(value, 512, int64_t{1} << 20, key))
      server.max_control_line = static_cast<size_t>(*bytes);
  } else if (key == "max_pending") {
    if (auto bytes = integer(value, 1, kMost, key))
      server.max_pending = static_cast<size_t>(*bytes);
  } else if (key == "max_connections" || key == "max_conn") {
    auto number = integer(value, -1, kMost, key);
    if (number && *number < 0) server.max_connections = std::numeric_limits<size_t>::max();
    if (number && *number > 0) server.max_connections = static_cast<size_t>(*number);
  } else if (key == "max_subscriptions" || key == "max_subs") {
    count(value, key, server.max_subscriptions);
  } else if (key == "max_closed_clients") {
    if (auto number = integer(value, 0, 1'000'000, key))
      server.max_closed_connections = static_cast<size_t>(*number);
  } else if (key == "ping_interval") {
    if (auto time = duration(value, key)) server.ping_interval = *time;
  } else if (key == "ping_max") {
    auto number = integer(value, 0, 1'000'000, key);
    if (number && *number > 0) server.ping_max = static_cast<uint32_t>(*number);
  } else if (key == "write_deadline") {
    if (auto time = duration(value, key)) server.write_deadline = *time;
  } else if (key == "lame_duck_grace_period") {
    if (auto time = duration(value, key)) out_.lame_duck_grace = *time;
  } else {
    return false;
  }
  return true;
}

bool Reader::log_key(Key key, Value value) {
  if (key == "debug") {
    flag(value, out_.debug);
  } else if (key == "trace") {
    flag(value, out_.trace);
  } else if (key == "logtime") {
    flag(value, out_.logtime);
  } else if (key == "logtime_utc") {
    flag(value, out_.logtime_utc);
  } else if (key == "logfile" || key == "log_file") {
    text(value, out_.log_file);
  } else if (key == "pidfile" || key == "pid_file") {
    text(value, out_.pid_file);
  } else if (key == "ports_file_dir") {
    text(value, out_.ports_file_dir);
  } else {
    return false;
  }
  return true;
}

void Reader::secret(Value value, std::string& out) {
  text(value, out);
  if (is_bcrypt(out))
    tell(value.place, "a bcrypt hash is not carried out by this version of Sluice");
}

void Reader::authorization(Value value) {
  if (!is(value, ConfValue::Kind::kMap, "map[string]interface {}")) return;
  ServerOptions& server = out_.server;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "user" || key == "username") {
      text(entry.value, server.user);
    } else if (key == "pass" || key == "password") {
      secret(entry.value, server.password);
    } else if (key == "token") {
      secret(entry.value, server.token);
    } else if (key == "timeout") {
      authorization_timeout(entry.value);
    } else if (key == "users") {
      users(entry.value);
    } else {
      refuse_or_unknown(entry, kAuthorizationRefused);
    }
  }
  const bool single = !server.user.empty() || !server.password.empty();
  if (single && !server.token.empty()) tell(value.place, "Cannot have a user/pass and token");
  if (single && !server.users.empty())
    tell(value.place, "Can not have a single user/pass and a users array");
  if (!server.token.empty() && !server.users.empty())
    tell(value.place, "Can not have a token and a users array");
  for (size_t i = 0; i < server.users.size(); ++i) {
    const auto same = [&](const UserOptions& other) { return other.user == server.users[i].user; };
    const auto before = server.users.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find_if(server.users.begin(), before, same) == before) continue;
    tell(value.place, fmt::format("Duplicate user \"{}\" detected", server.users[i].user));
  }
}

/// Seconds, also with a fraction, or a duration.
void Reader::authorization_timeout(Value value) {
  constexpr double kMax_s = 1e9;
  double seconds = 0;
  if (value.kind == ConfValue::Kind::kInteger) {
    seconds = static_cast<double>(value.integer);
  } else if (value.kind == ConfValue::Kind::kReal) {
    seconds = value.real;
  } else if (value.kind == ConfValue::Kind::kText) {
    if (auto time = parse_time(value.text)) {
      seconds = static_cast<double>(time->count()) / 1e9;
    } else {
      tell(
          value.place,
          fmt::format("error parsing authorization config, 'timeout' time: invalid duration \"{}\"",
                      value.text));
      return;
    }
  } else {
    is(value, ConfValue::Kind::kReal, "float64");
    return;
  }
  if (!(seconds > 0 && seconds <= kMax_s)) {
    tell(value.place, "timeout must be longer than nothing");
    return;
  }
  out_.server.auth_timeout = nanoseconds(std::max<int64_t>(1, std::llround(seconds * 1e9)));
}

void Reader::users(Value value) {
  if (value.kind != ConfValue::Kind::kList) {
    tell(value.place, fmt::format("Expected users field to be an array, got {}", go_type(value)));
    return;
  }
  for (const ConfValue& item : value.items) user(item);
}

void Reader::user(Value value) {
  if (value.kind != ConfValue::Kind::kMap) {
    tell(value.place,
         fmt::format("Expected user entry to be a map/struct, got {}", go_type(value)));
    return;
  }
  UserOptions out;
  bool refused = false;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "user" || key == "username") {
      text(entry.value, out.user);
    } else if (key == "pass" || key == "password") {
      secret(entry.value, out.password);
    } else {
      refuse_or_unknown(entry, kUserRefused);
      refused = true;
    }
  }
  if (out.user.empty() && !refused) tell(value.place, "User entry requires a user");
  out_.server.users.push_back(std::move(out));
}

void Reader::jetstream(Value value) {
  switch (value.kind) {
    case ConfValue::Kind::kFlag:
      out_.server.jetstream = value.flag;
      return;
    case ConfValue::Kind::kText: {
      const std::string word = to_conf_lower(value.text);
      if (word == "enabled" || word == "enable") {
        out_.server.jetstream = true;
      } else if (word == "disabled" || word == "disable") {
        out_.server.jetstream = false;
      } else {
        tell(value.place, fmt::format("Expected 'enabled' or 'disabled' for string value, got '{}'",
                                      value.text));
      }
      return;
    }
    case ConfValue::Kind::kMap:
      jetstream_block(value);
      return;
    case ConfValue::Kind::kInteger:
    case ConfValue::Kind::kReal:
    case ConfValue::Kind::kList:
      tell(value.place,
           fmt::format("Expected map, bool or string to define JetStream, got {}", go_type(value)));
  }
}

void Reader::jetstream_block(Value value) {
  out_.server.jetstream = true;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "enabled" || key == "enable") {
      flag(entry.value, out_.server.jetstream);
    } else if (key == "store_dir" || key == "storedir" || key == "store") {
      store_dir(entry.value);
    } else if (key == "domain") {
      text(entry.value, out_.server.domain);
      if (out_.server.domain.find_first_of(" \t\r\n.*>") != std::string::npos) {
        tell(entry.value.place, "invalid domain name");
      }
    } else if (key == "sync_interval" || key == "sync") {
      sync_interval(entry.value);
    } else if (key == "max_memory_store" || key == "max_mem_store" || key == "max_mem") {
      if (auto bytes = storage_size(entry.value, "max_mem_store")) out_.max_memory_bytes = *bytes;
    } else if (key == "max_file_store" || key == "max_file") {
      if (auto bytes = storage_size(entry.value, "max_file_store")) out_.max_file_bytes = *bytes;
    } else if (key == "strict") {
      bool strict = true;
      flag(entry.value, strict);
      if (!strict)
        tell(entry.value.place, "\"strict: false\" is not carried out by this version of Sluice");
    } else {
      refuse_or_unknown(entry, kJetStreamRefused);
    }
  }
}

void Reader::sync_interval(Value value) {
  if (value.kind == ConfValue::Kind::kText && to_conf_lower(value.text) == "always") {
    out_.sync = SyncMode::kAlways;
    return;
  }
  auto time = duration(value, "sync_interval");
  if (!time) return;
  out_.sync = SyncMode::kInterval;
  out_.sync_interval = std::max(milliseconds(1), std::chrono::duration_cast<milliseconds>(*time));
}

void Reader::store_dir(Value value) {
  if (!out_.store_dir.empty()) {
    tell(value.place, "Duplicate 'store_dir' configuration");
    return;
  }
  text(value, out_.store_dir);
}

}  // namespace

Result<NatsSettings> read_nats_settings(const NatsConf& conf) { return Reader(conf).run(); }

}  // namespace sluice
