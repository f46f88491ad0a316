#include "gateway/cli/nats_face.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/time_format.h"
#include "config/load.h"
#include "config/nats_conf_lexical.h"
#include "crypto/digest.h"
#include "gateway/cli/command_line.h"
#include "server/reload.h"
#include "server/version.h"

namespace sluice {
namespace {

std::string digest_of(const NatsConf& conf) {
  std::string out = "sha256:";
  for (uint8_t byte : sha256(canonical_json(conf))) out += fmt::format("{:02x}", byte);
  return out;
}

LogOptions engine_log(const NatsSettings& settings) {
  LogOptions out;
  out.level = settings.trace   ? LogLevel::kTrace
              : settings.debug ? LogLevel::kDebug
                               : LogLevel::kWarn;
  out.file = settings.log_file;
  return out;
}

bool open_to_everybody(const NatsSettings& settings) {
  const ServerOptions& server = settings.server;
  const bool account_users =
      std::ranges::any_of(server.accounts, [&server](const AccountOptions& account) {
        return !account.users.empty() && account.name != server.system_account;
      });
  return server.user.empty() && server.password.empty() && server.token.empty() &&
         server.users.empty() && !account_users && !server.operator_mode.enabled() && !is_loopback(server.host);
}

/// One top-level stanza as a text that is the same for the same values; "" without it.
std::string text_of(const NatsConf& conf, std::string_view key) {
  NatsConf one;
  one.root.kind = ConfValue::Kind::kMap;
  for (const ConfEntry& entry : conf.root.entries) {
    if (to_conf_lower(entry.key) == key) one.root.entries.push_back(entry);
  }
  return canonical_json(one);
}

std::string store_root(const NatsSettings& settings) {
  return settings.store_dir.empty() ? "/tmp/nats" : settings.store_dir;
}

/// What the reference takes where nothing is said: three quarters of the memory.
int64_t default_memory_limit() {
  const auto pages = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES));
  return pages <= 0 ? -1 : pages * static_cast<int64_t>(sysconf(_SC_PAGESIZE)) / 4 * 3;
}

/// Likewise, of what is free where the store will be.
int64_t default_file_limit(std::filesystem::path dir) {
  std::error_code why;
  dir = std::filesystem::absolute(dir, why);
  while (!dir.empty() && !std::filesystem::exists(dir, why) && dir.has_relative_path()) dir = dir.parent_path();
  const auto space = std::filesystem::space(dir, why);
  return why ? -1 : static_cast<int64_t>(space.available / 4 * 3);
}

uint16_t bound_port(int port) { return static_cast<uint16_t>(port == -1 ? 0 : port); }

std::string without_last_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

Result<FaceSetup> make_face_setup(const NatsServerFlags& flags) {
  FaceSetup out;
  out.flags = flags;
  if (flags.config_file) {
    auto conf = load_nats_conf(*flags.config_file, process_environment());
    if (!conf) return std::unexpected(conf.error());
    auto settings = read_nats_settings(*conf);
    if (!settings)
      return fail(Errc::kInvalidArgument, without_last_newline(settings.error().detail));
    out.settings = std::move(*settings);
    out.conf = std::move(*conf);
    out.digest = digest_of(out.conf);
  }
  apply_flags(flags, out.settings);
  if (auto good = check_options(out.settings.server); !good) return std::unexpected(good.error());
  return out;
}

std::vector<ChangedSetting> fixed_changes(const NatsSettings& running, const NatsSettings& fresh) {
  std::vector<ChangedSetting> out;
  const auto compare = [&](const char* name, const char* field, const auto& before,
                           const auto& after) {
    if (before != after)
      out.push_back({name, field, fmt::format("{}", before), fmt::format("{}", after)});
  };
  const auto sync_text = [](const NatsSettings& settings) {
    return settings.sync == SyncMode::kAlways ? std::string("always")
                                              : format_go_duration(settings.sync_interval);
  };
  compare("host", "Host", running.server.host, fresh.server.host);
  compare("port", "Port", running.port, fresh.port);
  compare("http", "HTTPHost", running.monitor_host, fresh.monitor_host);
  compare("http_port", "HTTPPort", running.monitor_port, fresh.monitor_port);
  compare("http_base_path", "HTTPBasePath", running.http_base_path, fresh.http_base_path);
  compare("store_dir", "StoreDir", running.store_dir, fresh.store_dir);
  compare("sync_interval", "SyncInterval", sync_text(running), sync_text(fresh));
  compare("max_memory_store", "JetStreamMaxMemory", running.max_memory_bytes,
          fresh.max_memory_bytes);
  compare("max_file_store", "JetStreamMaxStore", running.max_file_bytes, fresh.max_file_bytes);
  compare("limits.max_ack_pending", "JetStreamLimits", running.max_ack_pending, fresh.max_ack_pending);
  compare("limits.max_request_batch", "JetStreamLimits", running.max_request_batch, fresh.max_request_batch);
  compare("limits.duplicate_window", "JetStreamLimits", running.max_duplicate_window.count(), fresh.max_duplicate_window.count());
  compare("ports_file_dir", "PortsFileDir", running.ports_file_dir, fresh.ports_file_dir);
  for (ChangedSetting& changed : compare_options(running.server, fresh.server).waiting)
    out.push_back(std::move(changed));
  return out;
}

Status NatsFace::apply_logging(const NatsSettings& settings) {
  return log_.open({settings.log_file, settings.logtime, settings.logtime_utc});
}

AppOptions NatsFace::app_options() {
  const NatsSettings& settings = setup_.settings;
  AppOptions out;
  Config& config = out.config;
  static_cast<ServerOptions&>(config.server) = settings.server;
  config.server.port = bound_port(settings.port);
  static_cast<LeafOptions&>(config.leafnodes) = settings.leafnodes;
  config.server.allow_anonymous = true;
  config.store.dir = store_root(settings) + "/" + kFaceStoreFolder;
  config.store.sync = settings.sync;
  config.store.encryption = {settings.store_cipher, settings.store_key, settings.previous_store_key};
  if (settings.sync == SyncMode::kInterval) config.store.sync_interval = settings.sync_interval;
  config.monitor.enabled = settings.monitor_port != 0;
  config.monitor.host = settings.monitor_host;
  config.monitor.port = bound_port(settings.monitor_port);
  config.monitor.base_path = settings.http_base_path;
  out.config_digest = setup_.digest;
  config.log = engine_log(settings);
  out.max_file_bytes = settings.max_file_bytes >= 0 ? settings.max_file_bytes : default_file_limit(store_root(settings));
  out.max_memory_bytes = settings.max_memory_bytes >= 0 ? settings.max_memory_bytes : default_memory_limit();
  out.max_ack_pending = settings.max_ack_pending;
  out.max_request_batch = settings.max_request_batch;
  out.max_duplicate_window = settings.max_duplicate_window;
  out.stop_grace = std::chrono::nanoseconds(0);
  out.lame_duck_grace = settings.lame_duck_grace;
  out.lame_duck_spread = settings.lame_duck_duration - settings.lame_duck_grace;
  out.term_ends_lame_duck = false;
  out.on_ready = [this](const AppReady& ready) { say_ready(ready); };
  out.on_failure = [this](WallNanos now, const Error& why) { log_.fatal(now, why.detail); };
  out.on_reload = [this](RunningDaemon& daemon, WallNanos now, int signal) {
    reload(daemon, now, signal);
  };
  out.on_stopping = [this](WallNanos now, int signal) {
    const char* name = signal == SIGINT    ? "interrupt"
                       : signal == SIGUSR2 ? "user defined signal 2"
                                           : "terminated";
    log_.line(now, "INF", fmt::format("Trapped \"{}\" signal", name));
    log_.line(now, "INF",
              signal == SIGUSR2 ? "Entering lame duck mode, stop accepting new clients"
                                : "Initiating Shutdown...");
  };
  return out;
}

int NatsFace::run() {
  if (auto opened = apply_logging(setup_.settings); !opened) {
    std::fprintf(stderr, "nats-server: %s\n", opened.error().detail.c_str());
    return kExitFailure;
  }
  if (const std::string& path = setup_.settings.pid_file; !path.empty()) {
    if (auto written = write_pid_file(path); !written) {
      std::fprintf(stderr, "nats-server: could not write pidfile: %s\n",
                   written.error().detail.c_str());
      return kExitFailure;
    }
  }
  return App(app_options()).run();
}

void NatsFace::say_warnings(WallNanos now) {
  const NatsSettings& settings = setup_.settings;
  for (const std::string& warning : settings.warnings) log_.line(now, "WRN", warning);
  for (const std::string& note : settings.notes) log_.line(now, "WRN", note);
  if (settings.trace) {
    log_.line(now, "WRN",
              "trace: this version of Sluice does not trace the protocol, only its own decisions");
  }
  if (open_to_everybody(settings)) {
    log_.line(now, "WRN",
              fmt::format("Clients need no authentication, and {} is reachable from other machines",
                          settings.server.host));
  }
  if (!settings.server.jetstream) return;
  const std::string root = store_root(settings);
  if (settings.store_dir.empty()) {
    log_.line(now, "WRN", "Temporary storage directory used, data could be lost on system reboot");
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(root + "/jetstream", ignored)) {
    log_.line(now, "WRN",
              fmt::format("{0}/jetstream holds nats-server's files: they are not touched and not read, Sluice keeps "
                          "its own in {0}/{1}. 'sluice import nats-store {0} --into {0}/{1}' takes its streams over",
                          root, kFaceStoreFolder));
  }
  // Of a sync_interval the engine warns itself.
}

void NatsFace::say_ready(const AppReady& ready) {
  const NatsSettings& settings = setup_.settings;
  const WallNanos now = ready.now;
  log_.line(now, "INF", "Starting nats-server");
  log_.line(now, "INF", fmt::format("  Version:  {} (Sluice {})", kCompatVersion, kSluiceVersion));
  if (setup_.flags.config_file) {
    log_.line(
        now, "INF",
        fmt::format("Using configuration file: {} ({})", *setup_.flags.config_file, setup_.digest));
  }
  say_warnings(now);
  if (settings.server.jetstream) {
    log_.line(now, "INF",
              fmt::format("  Store Directory: \"{}/{}\"", store_root(settings), kFaceStoreFolder));
  }
  if (ready.monitor_port != 0) {
    log_.line(
        now, "INF",
        fmt::format("Starting http monitor on {}:{}", settings.monitor_host, ready.monitor_port));
  }
  if (ready.leaf_port != 0) {
    log_.line(now, "INF",
              fmt::format("Listening for leafnode connections on {}:{}", settings.leafnodes.host,
                          ready.leaf_port));
  }
  const WebSocketOptions& ws = settings.server.websocket;
  if (ready.websocket_port != 0) {
    log_.line(now, "INF",
              fmt::format("Listening for websocket clients on {}://{}:{}", ws.no_tls ? "ws" : "wss",
                          ws.host, ready.websocket_port));
  }
  log_.line(now, "INF",
            fmt::format("Listening for client connections on {}:{}", settings.server.host,
                        ready.client_port));
  log_.line(now, "INF", "Server is ready");
  if (settings.ports_file_dir.empty()) return;
  auto written = ports_file_.write(
      settings.ports_file_dir,
      {settings.server.host, ready.client_port, settings.monitor_host, ready.monitor_port, ws.host,
       ready.websocket_port, ws.no_tls ? "ws" : "wss"});
  if (!written) log_.line(now, "ERR", "Error writing ports file: " + written.error().detail);
}

void NatsFace::reload(RunningDaemon& daemon, WallNanos now, int signal) {
  if (signal == SIGHUP) log_.line(now, "INF", "Trapped \"hangup\" signal");
  if (signal == SIGUSR1) {
    if (auto opened = apply_logging(setup_.settings); !opened)
      log_.line(now, "ERR", opened.error().detail);
    configure_logging(engine_log(setup_.settings));
    log_.line(now, "INF", "File log re-opened");
    return;
  }
  const auto failed = [&](const std::string& why) {
    log_.line(now, "ERR", "Failed to reload server configuration: " + why);
  };
  if (!setup_.flags.config_file)
    return failed("can only reload config when a file is provided using -c or --config");
  auto fresh = make_face_setup(setup_.flags);
  if (!fresh) return failed(fresh.error().detail);
  for (const char* key : {"websocket", "ws", "leafnodes", "leaf"}) {
    if (text_of(setup_.conf, key) != text_of(fresh->conf, key))
      return failed(fmt::format("config reload not supported for {}", key));
  }
  if (auto changes = fixed_changes(setup_.settings, fresh->settings); !changes.empty()) {
    const ChangedSetting& first = changes.front();
    return failed(fmt::format("config reload not supported for {}: old={}, new={}",
                              first.reference_field, first.before, first.after));
  }
  const auto report = daemon.reload_server(fresh->settings.server);
  if (!report) return failed(report.error().detail);
  if (auto opened = apply_logging(fresh->settings); !opened)
    log_.line(now, "ERR", opened.error().detail);
  configure_logging(engine_log(fresh->settings));
  apply(daemon, now, *std::move(fresh), *report);
}

/// What the server took over is in force already.
void NatsFace::apply(RunningDaemon& daemon, WallNanos now, FaceSetup fresh,
                     const ReloadReport& report) {
  const NatsSettings& before = setup_.settings;
  const NatsSettings& after = fresh.settings;
  const auto said = [&](const char* name, const auto& old_value, const auto& new_value) {
    if (old_value != new_value)
      log_.line(now, "INF", fmt::format("Reloaded: {} = {}", name, new_value));
  };
  said("debug", before.debug, after.debug);
  said("trace", before.trace, after.trace);
  said("logtime", before.logtime, after.logtime);
  said("logtime_utc", before.logtime_utc, after.logtime_utc);
  said("log_file", before.log_file, after.log_file);
  said("pid_file", before.pid_file, after.pid_file);
  if (before.pid_file != after.pid_file && !after.pid_file.empty()) {
    if (auto written = write_pid_file(after.pid_file); !written)
      log_.line(now, "ERR", "could not write pidfile: " + written.error().detail);
  }
  for (const ChangedSetting& setting : report.applied) {
    log_.line(now, "INF", fmt::format("Reloaded: {} = {}", setting.name, setting.after));
  }
  daemon.set_lame_duck(after.lame_duck_grace, after.lame_duck_duration - after.lame_duck_grace);
  daemon.set_config_digest(fresh.digest);
  log_.line(now, "INF", fmt::format("Reloaded server configuration ({})", fresh.digest));
  setup_ = std::move(fresh);
}

}  // namespace sluice
