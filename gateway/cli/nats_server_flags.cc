#include "gateway/cli/nats_server_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace sluice {
namespace {

struct Flag {
  std::array<std::string_view, 3> names;
  std::string_view help;
  std::optional<std::string> NatsServerFlags::* text = nullptr;
  std::optional<int> NatsServerFlags::* port = nullptr;
  std::optional<bool> NatsServerFlags::* on = nullptr;
};

constexpr Flag text_flag(std::array<std::string_view, 3> names,
                         std::optional<std::string> NatsServerFlags::* to, std::string_view help) {
  return {names, help, to, nullptr, nullptr};
}
constexpr Flag port_flag(std::array<std::string_view, 3> names,
                         std::optional<int> NatsServerFlags::* to, std::string_view help) {
  return {names, help, nullptr, to, nullptr};
}
constexpr Flag switch_flag(std::array<std::string_view, 3> names,
                           std::optional<bool> NatsServerFlags::* to, std::string_view help) {
  return {names, help, nullptr, nullptr, to};
}

const auto& flags() {
  using F = NatsServerFlags;
  static constexpr std::array kFlags{
      text_flag({"a", "addr", "net"}, &F::host, "Bind to host address (default: 0.0.0.0)"),
      port_flag({"p", "port"}, &F::port, "Use port for clients (default: 4222; -1: any free one)"),
      text_flag({"n", "name", "server_name"}, &F::name, "Server name"),
      text_flag({"client_advertise"}, &F::client_advertise,
                "Address that clients are told, instead of the listener's"),
      text_flag({"P", "pid"}, &F::pid_file, "File to store PID"),
      port_flag({"m", "http_port"}, &F::monitor_port, "Use port for http monitoring"),
      text_flag({"c", "config"}, &F::config_file, "Configuration file"),
      switch_flag({"t"}, &F::check, "Test configuration and exit"),
      text_flag({"sl", "signal"}, &F::signal,
                "Send signal CMD[=PID or pid file]: ldm, stop, quit, term, reopen, reload"),
      text_flag({"ports_file_dir"}, &F::ports_file_dir,
                "Creates a ports file in this folder (nats-server_PID.ports)"),
      text_flag({"l", "log"}, &F::log_file, "File to redirect log output"),
      switch_flag({"T", "logtime"}, &F::logtime, "Timestamp log entries (default: true)"),
      switch_flag({"logtime_utc"}, &F::logtime_utc, "Timestamps in UTC instead of local time"),
      switch_flag({"D", "debug"}, &F::debug, "Enable debugging output"),
      switch_flag({"V", "trace"}, &F::trace, "Trace the raw protocol"),
      switch_flag({"DV"}, &F::debug_and_trace, "Debug and trace"),
      switch_flag({"VV"}, &F::trace, "The same as -V"),
      switch_flag({"DVV"}, &F::debug_and_trace, "The same as -DV"),
      switch_flag({"js", "jetstream"}, &F::jetstream, "Enable JetStream"),
      text_flag({"sd", "store_dir"}, &F::store_dir, "Folder for JetStream"),
      text_flag({"user"}, &F::user, "User required for connections"),
      text_flag({"pass"}, &F::password, "Password required for connections"),
      text_flag({"auth"}, &F::token, "Authorization token required for connections"),
      switch_flag({"tls"}, &F::tls, "Enable TLS, do not verify clients"),
      text_flag({"tlscert"}, &F::tls_cert, "Server certificate file"),
      text_flag({"tlskey"}, &F::tls_key, "Private key of the server certificate"),
      switch_flag({"tlsverify"}, &F::tls_verify, "Enable TLS, verify client certificates"),
      text_flag({"tlscacert"}, &F::tls_ca, "Client certificate authorities"),
      switch_flag({"h", "help"}, &F::help, "Show this message"),
      switch_flag({"v", "version"}, &F::version, "Show version"),
  };
  return kFlags;
}

/// The reference's others.
constexpr std::array kRefused = std::to_array<std::string_view>({"ms",
                                                                 "https_port",
                                                                 "s",
                                                                 "syslog",
                                                                 "r",
                                                                 "remote_syslog",
                                                                 "log_size_limit",
                                                                 "max_traced_msg_len",
                                                                 "routes",
                                                                 "cluster",
                                                                 "cluster_listen",
                                                                 "cluster_name",
                                                                 "cluster_advertise",
                                                                 "no_advertise",
                                                                 "connect_retries",
                                                                 "profile",
                                                                 "help_tls"});

Result<const Flag*> find_flag(std::string_view name) {
  for (const Flag& flag : flags()) {
    if (std::find(flag.names.begin(), flag.names.end(), name) != flag.names.end()) return &flag;
  }
  if (std::find(kRefused.begin(), kRefused.end(), name) != kRefused.end()) {
    return fail(Errc::kUnsupported,
                fmt::format("option -{} is not carried out by this version of Sluice", name));
  }
  return fail(Errc::kInvalidArgument, fmt::format("flag provided but not defined: -{}", name));
}

std::optional<bool> switch_of(std::string_view word) {
  using namespace std::string_view_literals;
  constexpr std::array kOn{"1"sv, "t"sv, "T"sv, "true"sv, "TRUE"sv, "True"sv};
  constexpr std::array kOff{"0"sv, "f"sv, "F"sv, "false"sv, "FALSE"sv, "False"sv};
  if (std::find(kOn.begin(), kOn.end(), word) != kOn.end()) return true;
  if (std::find(kOff.begin(), kOff.end(), word) != kOff.end()) return false;
  return std::nullopt;
}

Status set(NatsServerFlags& out, const Flag& flag, std::string_view name,
           const std::string& value) {
  if (flag.text != nullptr) {
    out.*(flag.text) = value;
  } else if (flag.on != nullptr) {
    auto on = switch_of(value);
    if (!on) {
      return fail(Errc::kInvalidArgument,
                  fmt::format("invalid boolean value \"{}\" for -{}: parse error", value, name));
    }
    out.*(flag.on) = *on;
  } else {
    int port = 0;
    auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), port);
    if (bad != std::errc() || end != value.data() + value.size() || port < -1 || port > 65535) {
      return fail(Errc::kInvalidArgument,
                  fmt::format("invalid value \"{}\" for flag -{}: parse error", value, name));
    }
    out.*(flag.port) = port;
  }
  return {};
}

template <class T>
void override_with(const std::optional<T>& flag, T& setting) {
  if (flag) setting = *flag;
}

}  // namespace

Result<NatsServerFlags> parse_nats_server_flags(const std::vector<std::string>& arguments) {
  NatsServerFlags out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    std::string_view body = argument;
    body.remove_prefix(body.starts_with("--") ? 2 : body.starts_with('-') ? 1 : 0);
    if (body.empty() || body.size() == argument.size()) {
      return fail(Errc::kInvalidArgument, fmt::format("unrecognized command: \"{}\"", argument));
    }
    const size_t equals = body.find('=');
    const std::string_view name = body.substr(0, equals);
    auto flag = name.empty()
                    ? fail(Errc::kInvalidArgument, fmt::format("bad flag syntax: {}", argument))
                    : find_flag(name);
    if (!flag) return std::unexpected(flag.error());
    std::string value = "true";
    if (equals != std::string_view::npos) {
      value = body.substr(equals + 1);
    } else if ((*flag)->on == nullptr) {
      if (++i == arguments.size()) {
        return fail(Errc::kInvalidArgument, fmt::format("flag needs an argument: -{}", name));
      }
      value = arguments[i];
    }
    if (auto done = set(out, **flag, name, value); !done) return std::unexpected(done.error());
  }
  if (out.tls.value_or(false) || out.tls_verify.value_or(false)) {
    if (!out.tls_cert)
      return fail(Errc::kInvalidArgument, "TLS Server certificate must be present and valid");
    if (!out.tls_key)
      return fail(Errc::kInvalidArgument, "TLS Server private key must be present and valid");
  }
  if (out.user.value_or("").empty() != out.password.value_or("").empty()) {
    return fail(Errc::kInvalidArgument, "options --user and --pass belong together");
  }
  return out;
}

void apply_flags(const NatsServerFlags& flags, NatsSettings& settings) {
  override_with(flags.host, settings.server.host);
  override_with(flags.port, settings.port);
  override_with(flags.monitor_port, settings.monitor_port);
  override_with(flags.name, settings.server.server_name);
  override_with(flags.client_advertise, settings.server.client_advertise);
  override_with(flags.store_dir, settings.store_dir);
  override_with(flags.user, settings.server.user);
  override_with(flags.password, settings.server.password);
  override_with(flags.token, settings.server.token);
  if (flags.tls.value_or(false) || flags.tls_verify.value_or(false)) {
    settings.server.tls.certificates = {{*flags.tls_cert, *flags.tls_key}};
    settings.server.tls.ca_file = flags.tls_ca.value_or("");
    settings.server.tls.verify = flags.tls_verify.value_or(false);
  }
  override_with(flags.jetstream, settings.server.jetstream);
  override_with(flags.pid_file, settings.pid_file);
  override_with(flags.ports_file_dir, settings.ports_file_dir);
  override_with(flags.log_file, settings.log_file);
  override_with(flags.debug_and_trace, settings.debug);
  override_with(flags.debug_and_trace, settings.trace);
  override_with(flags.debug, settings.debug);
  override_with(flags.trace, settings.trace);
  override_with(flags.logtime, settings.logtime);
  override_with(flags.logtime_utc, settings.logtime_utc);
  if (settings.port == 0) settings.port = 4222;  // as the reference has it
  if (settings.server.host.empty()) settings.server.host = "0.0.0.0";
  if (settings.monitor_host.empty()) settings.monitor_host = settings.server.host;
}

std::string nats_server_usage() {
  std::string out = "Usage: nats-server [options]\n\n";
  for (const Flag& flag : flags()) {
    std::string names;
    for (std::string_view name : flag.names) {
      if (!name.empty())
        names +=
            fmt::format("{}{}{}", names.empty() ? "" : ", ", name.size() == 1 ? "-" : "--", name);
    }
    out += fmt::format("    {:<32} {}\n", names, flag.help);
  }
  return out;
}

}  // namespace sluice
