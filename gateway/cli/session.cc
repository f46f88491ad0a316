#include "gateway/cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "config/load.h"
#include "gateway/cli/command_line.h"
#include "remote/remote_link.h"
#include "remote/server_url.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kConnectLimit{5000};

/// The port that clients of this machine's own daemon use, and the first credentials that let in.
Result<LinkOptions> local_daemon(std::string path, std::string& api_prefix) {
  LinkOptions link;
  const bool named = !path.empty();
  if (!named) path = kDefaultConfigPath;
  std::error_code ignored;
  if (!named && !std::filesystem::exists(path, ignored)) {
    link.urls = {"nats://127.0.0.1:4222"};
    return link;
  }
  Problems problems(path);
  const Config config = load_config(path, process_environment(), problems);
  if (!problems.empty())
    return fail(Errc::kInvalidArgument, "the configuration has errors\n" + problems.to_text());
  if (!config.core.embedded()) {
    api_prefix = config.core.api_prefix();
    return config.core;
  }
  std::string host = config.server.host;
  if (host == "0.0.0.0" || host == "::") host = "127.0.0.1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  link.urls = {fmt::format("nats://{}:{}", host, config.server.port)};
  link.user = config.server.user;
  link.password = config.server.password;
  link.token = config.server.token;
  if (link.user.empty() && link.token.empty() && !config.server.users.empty()) {
    link.user = config.server.users.front().user;
    link.password = config.server.users.front().password;
  }
  if (config.server.tls.enabled()) {
    link.tls_first = config.server.tls.handshake_first;
    // Certificates seldom name 127.0.0.1, and who could listen there in the daemon's place is on this machine.
    link.tls_insecure = is_loopback(host);
  }
  return link;
}

std::string without_secrets(const std::vector<std::string>& urls) {
  std::string out;
  for (const std::string& text : urls) {
    const auto url = parse_server_url(text);
    if (!out.empty()) out += ", ";
    out += url ? url->text() : "?";
  }
  return out;
}

/// `api_prefix` becomes the local configuration's, when that is what counts.
Result<LinkOptions> link_options(const SessionOptions& options, std::string_view program, std::string& api_prefix) {
  LinkOptions link;
  if (options.server.empty()) {
    auto local = local_daemon(options.config_path, api_prefix);
    if (!local) return local;
    link = *std::move(local);
  } else {
    std::string_view rest = options.server;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      std::string url(rest.substr(0, comma));
      if (url.find("://") == std::string::npos) url = "nats://" + url;
      if (!url.empty()) link.urls.push_back(std::move(url));
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
  }
  if (!options.user.empty()) {
    link.user = options.user;
    link.password = options.password;
  }
  if (!options.credentials_file.empty()) link.credentials_file = options.credentials_file;
  if (!options.tls_ca_file.empty()) {
    link.tls_ca_file = options.tls_ca_file;
    link.tls_insecure = false;
  }
  if (!options.tls_cert_file.empty()) {
    link.tls_cert_file = options.tls_cert_file;
    link.tls_key_file = options.tls_key_file;
  }
  link.name = program;
  return link;
}

}  // namespace

std::shared_ptr<SessionOptions> add_session_options(CLI::App& verb) {
  auto options = std::make_shared<SessionOptions>();
  verb.add_option("-s,--server", options->server, "where the daemon is: nats://host:port[,…]; without it the local configuration says")
      ->envname("SLUICE_SERVER");
  verb.add_option("--creds", options->credentials_file, "credentials file (JWT and seed)")->envname("SLUICE_CREDS");
  verb.add_option("--user", options->user, "user; its password comes from the variable SLUICE_PASSWORD")
      ->envname("SLUICE_USER");
  verb.add_option("--tlsca", options->tls_ca_file, "PEM file of the authorities to trust [the system's]")->envname("SLUICE_TLSCA");
  CLI::Option* certificate =
      verb.add_option("--tlscert", options->tls_cert_file, "PEM file of our certificate, where the daemon asks for one")->envname("SLUICE_TLSCERT");
  verb.add_option("--tlskey", options->tls_key_file, "PEM file of its key [the certificate's]")->envname("SLUICE_TLSKEY")->needs(certificate);
  verb.add_option("--config", options->config_path, fmt::format("the local daemon's configuration [{}]", kDefaultConfigPath))
      ->envname("SLUICE_CONFIG");
  verb.add_option_function<std::string>(
      "--js-domain", [options](const std::string& domain) { options->api_prefix = "$JS." + domain + ".API"; },
      "JetStream domain");
  if (const auto password = process_environment()("SLUICE_PASSWORD")) options->password = *password;
  return options;
}

Session::~Session() {
  client_.reset();
  link_.reset();
}

std::unique_ptr<Session> Session::unconnected() {
  configure_logging({.level = LogLevel::kError, .file = {}});
  return std::unique_ptr<Session>(new Session);
}

Result<std::unique_ptr<Session>> Session::open(const SessionOptions& options, std::string_view program) {
  std::unique_ptr<Session> session = unconnected();
  auto connection = session->connect(options, program);
  if (!connection) {
    Error why = connection.error();
    if (why.code == Errc::kClosed) why.detail += options.server.empty() ? " (--server names another one)" : "";
    return std::unexpected(std::move(why));
  }
  session->link_ = std::move(connection->link);
  session->api_prefix_ = std::move(connection->api_prefix);
  session->client_ = StreamClient::make(session->env(), *session->link_, session->api_prefix_);
  return session;
}

Result<Session::Connection> Session::connect(const SessionOptions& options, std::string_view program) {
  std::string api_prefix = options.api_prefix;
  const auto link = link_options(options, program, api_prefix);
  if (!link) return std::unexpected(link.error());
  return connect(*link, std::move(api_prefix));
}

Result<Session::Connection> Session::connect(const LinkOptions& link, std::string api_prefix) {
  Connection out{nullptr, std::move(api_prefix)};
  auto trouble = std::make_shared<Error>(Errc::kTimeout, uint16_t{0}, fmt::format("no answer within {} s", kConnectLimit.count() / 1000));
  auto made = make_remote_link(env(), link, look_up_srv, [trouble](const Error& why) { *trouble = why; });
  if (!made) return std::unexpected(made.error());
  out.link = *std::move(made);
  // Who is turned away would be turned away again; a daemon that starts is waited for.
  const auto is_final = [&] { return trouble->code == Errc::kRefused || trouble->code == Errc::kDenied || trouble->code == Errc::kInvalidArgument; };
  const auto is_connected = [&] { return out.link->state() == LinkState::kConnected; };
  loop().run_until([&] { return is_connected() || (is_final() && link.urls.size() == 1); }, kConnectLimit);
  if (is_connected()) return out;
  const std::string_view advice = trouble->code == Errc::kRefused  ? "are user and password, or credentials, right?"
                                  : trouble->code == Errc::kDenied ? "is its certificate by an authority that is trusted here?"
                                                                   : "is the daemon running?";
  return fail(Errc::kClosed, fmt::format("no connection to {}: {}; {}", without_secrets(link.urls), trouble->detail, advice));
}

Result<std::string> Session::api(std::string_view verb, std::string_view target, std::string_view body) {
  return await<std::string>([&](auto done) { return client_->api(verb, target, body, std::move(done)); });
}

Result<PubAck> Session::publish(std::string_view subject, std::string_view headers, std::string_view payload) {
  return await<PubAck>([&](auto done) {
    return client_->publish({subject, {}, headers, payload}, std::chrono::seconds(5), std::move(done));
  });
}

Result<StoredCopy> Session::last_message(std::string_view stream, std::string_view filter) {
  return await<StoredCopy>([&](auto done) { return client_->last_message(stream, filter, std::move(done)); });
}

Result<StoredCopy> Session::message(std::string_view stream, uint64_t seq) {
  return await<StoredCopy>([&](auto done) { return client_->get_message(stream, StreamSeq(seq), std::move(done)); });
}

int complain(std::string_view what) {
  while (what.ends_with('\n')) what.remove_suffix(1);  // a list of problems ends with one
  std::fprintf(stderr, "sluice: %.*s\n", static_cast<int>(what.size()), what.data());
  return kExitFailure;
}

int complain(const Error& why) {
  if (why.api_code != 0) return complain(fmt::format("{} ({})", why.detail, why.api_code));
  return complain(why.detail.empty() ? std::string(to_string(why.code)) : why.detail);
}

int with_session(const SessionOptions& options, const std::function<int(Session&)>& work) {
  auto session = Session::open(options, "sluice");
  if (!session) return complain(session.error());
  return work(**session);
}

std::string own_host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

bool confirm(std::string_view question) {
  if (::isatty(STDIN_FILENO) == 0) {
    complain(std::string(question) + " – not a terminal; say --force to go on");
    return false;
  }
  std::fprintf(stderr, "%.*s (y/N) ", static_cast<int>(question.size()), question.data());
  const int answer = std::getchar();
  return answer == 'y' || answer == 'Y';
}

}  // namespace sluice
