#include "config/validate.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/load.h"
#include "config/replicator_rules.h"

namespace sluice {
namespace {

class Checker {
 public:
  Checker(ReadContext& context, Config& config) : context_(context), config_(config) {}

  void run() {
    check_core();
    check_server();
    check_encryption();
    check_addresses();
    for (size_t i = 0; i < config_.adapters.size(); ++i) check_adapter(i);
    check_auto_streams();
    check_replicator();
    check_remotes();
  }

 private:
  void tell(const std::string& path, std::string text) {
    context_.problems.add(context_.place_of(path), std::move(text));
  }

  void check_core() {
    const CoreSettings& core = config_.core;
    if (core.embedded()) return;
    check_link("core", core);
    if (!core.domain.empty()) check_name("core.domain", core.domain);
    for (const char* section : {"server", "leafnodes", "remotes"}) {
      if (config_.section_texts.contains(section))
        tell(section, fmt::format("'{}' is of the embedded core: with a core elsewhere this daemon serves no clients", section));
    }
    if (core.domain.empty()) return;
    for (size_t i = 0; i < config_.replicator.streams.size(); ++i) {
      const StreamCopyOptions& copy = config_.replicator.streams[i];
      if (copy.source.embedded() || copy.target.embedded())
        tell(fmt::format("replicator.streams[{}]", i), "a copy can't ask a core by its domain: name the system by its URL");
    }
  }

  void check_server() {
    const ServerSettings& server = config_.server;
    // A password that could not be read was told of already.
    const bool has_password = !server.password.empty() || context_.places.contains("server.password");
    if (server.user.empty() == has_password) {
      tell(server.user.empty() ? "server.password" : "server.user",
           "'user' and 'password' belong together");
    }
    check_tls("server.tls", server.tls);
    check_tls("server.websocket.tls", server.websocket.tls);
    check_tls("leafnodes.tls", config_.leafnodes.tls);
    if (server.websocket.enabled && !server.websocket.no_tls && !server.websocket.tls.enabled())
      tell("server.websocket", "'websocket' needs 'tls', or 'no_tls: true'");
    if (server.allow_non_tls && !server.tls.enabled())
      tell("server.allow_non_tls", "'allow_non_tls' without 'tls'");
    if (auto fine = check_options(server); !fine) tell("server", fine.error().detail);
    const auto check_user = [&](const std::string& path, const UserOptions& user) {
      if (user.user.empty() == user.nkey.empty()) tell(path, "a user has a name or a key");
      if (!user.user.empty() && user.password.empty() && !server.tls.verify_and_map)
        tell(path, fmt::format("user '{}' has no password", user.user));
    };
    for (size_t i = 0; i < server.users.size(); ++i)
      check_user(fmt::format("server.users[{}]", i), server.users[i]);
    bool users = !server.users.empty();
    for (size_t i = 0; i < server.accounts.size(); ++i) {
      const AccountOptions& account = server.accounts[i];
      for (size_t u = 0; u < account.users.size(); ++u)
        check_user(fmt::format("server.accounts[{}].users[{}]", i, u), account.users[u]);
      users = users || (!account.users.empty() && account.name != server.system_account);
    }
    const bool operators = server.operator_mode.enabled();
    bool anonymous = (server.user.empty() && server.token.empty() && !users && !operators) || !server.no_auth_user.empty();
    if (anonymous && server.websocket.enabled && !is_loopback(server.websocket.host) &&
        !server.allow_anonymous) {
      tell("server.websocket.listen",
           fmt::format("'{}' is reachable from other machines and nobody has to log in",
                       server.websocket.host));
    }
    if (anonymous && !is_loopback(server.host) && !server.allow_anonymous) {
      tell("server.listen",
           fmt::format("'{}' is reachable from other machines and nobody has to log in: set "
                       "user and password, a token or users, or allow_anonymous: true",
                       server.host));
    }
  }

  void check_tls(const std::string& path, const TlsListenerOptions& tls) {
    for (const TlsKeyPair& pair : tls.certificates) {
      if (pair.cert_file.empty() != pair.key_file.empty())
        tell(path, "'cert' and 'key' belong together");
    }
    const bool rules = tls.verify || tls.verify_and_map || tls.handshake_first ||
                       !tls.ca_file.empty() || !tls.pinned_certs.empty();
    if (!tls.enabled() && rules) tell(path, "'tls' without 'cert' and 'key'");
  }

  void check_encryption() {
    constexpr size_t kLeastKey = 32;
    const StoreEncryption& encryption = config_.store.encryption;
    for (const auto& [name, key] : {std::pair("key", &encryption.key), std::pair("previous_key", &encryption.previous_key)}) {
      if (!key->empty() && key->size() < kLeastKey)
        tell(fmt::format("store.encryption.{}", name),
             fmt::format("'{}' has {} characters; at least {} are asked for", name, key->size(), kLeastKey));
    }
    if (encryption.key.empty() && !encryption.previous_key.empty())
      tell("store.encryption.previous_key", "'previous_key' without 'key'");
  }

  void check_addresses() {
    if (!config_.monitor.enabled || config_.server.port == 0 ||
        config_.server.port != config_.monitor.port)
      return;
    bool overlap = config_.server.host == config_.monitor.host ||
                   config_.server.host == "0.0.0.0" || config_.monitor.host == "0.0.0.0" ||
                   config_.server.host == "::" || config_.monitor.host == "::";
    if (overlap) {
      tell("monitor.listen",
           fmt::format("port {} is taken by server.listen already", config_.monitor.port));
    }
  }

  void check_link(const std::string& path, const LinkOptions& link) {
    if (link.user.empty() && !link.password.empty())
      tell(path + ".password", "'password' without 'user'");
    int ways = (link.user.empty() ? 0 : 1) + (link.token.empty() ? 0 : 1) +
               (link.credentials_file.empty() ? 0 : 1);
    if (ways > 1) tell(path, "more than one of 'user', 'token' and 'credentials'");
    if (link.tls_cert_file.empty() != link.tls_key_file.empty()) {
      tell(path + ".tls", "'cert' and 'key' belong together");
    }
  }

  void check_subject(const std::string& path, std::string_view subject, bool wildcards) {
    bool good = !subject.empty() && subject.size() <= kMaxNameLength_bytes;
    size_t begin = 0;
    while (good && begin <= subject.size()) {
      size_t end = std::min(subject.find('.', begin), subject.size());
      std::string_view token = subject.substr(begin, end - begin);
      bool wild = token == "*" || (token == ">" && end == subject.size());
      good = !token.empty() &&
             (wild ? wildcards : token.find_first_of("*> \t") == std::string_view::npos);
      begin = end + 1;
    }
    if (!good) tell(path, fmt::format("'{}' is not a valid subject", subject));
  }

  void check_stream_name(const std::string& path, std::string_view name) {
    bool good = !name.empty() && name.size() <= kMaxNameLength_bytes &&
                name.find_first_of(" \t\r\n.*>/\\") == std::string_view::npos;
    if (!good) tell(path, fmt::format("'{}' is not a valid stream name", name));
  }

  void check_name(const std::string& path, std::string_view name) {
    bool good = !name.empty() && name.size() <= 64 &&
                std::all_of(name.begin(), name.end(), [](unsigned char c) {
                  return std::isalnum(c) || c == '_' || c == '-';
                });
    if (!good)
      tell(path,
           fmt::format("'{}' is not a valid name: letters, digits, '_' and '-', at most 64", name));
  }

  void check_adapter(size_t index) {
    std::visit(
        [&](auto& adapter) {
          const std::string path = fmt::format("adapters[{}]", index);
          check_name(path + ".name", adapter.name);
          if (!adapter_names_.insert(adapter.name).second)
            tell(path + ".name", fmt::format("two adapters are called '{}'", adapter.name));
          if constexpr (requires { adapter.network; }) check_link(path + ".network", adapter.network);
          check_account(path + ".account", adapter.account);
          check_kind(path, adapter);
        },
        config_.adapters[index]);
  }

  void check_account(const std::string& path, std::string& account) {
    if (account == kGlobalAccount) account.clear();
    if (account.empty()) return;
    const ServerSettings& server = config_.server;
    if (!config_.core.embedded()) {
      tell(path, "with a core elsewhere the account is the login's");
    } else if (account == server.system_account) {
      tell(path, "the system account holds no streams");
    } else if (!server.operator_mode.enabled() && std::ranges::find(server.accounts, account, &AccountOptions::name) == server.accounts.end()) {
      tell(path, fmt::format("there is no account '{}'", account));
    }
  }

  void check_kind(const std::string& path, ChoriaAuditOptions& audit) {
    if (audit.file.empty() || audit.position_file.empty()) return;  // told as missing
    if (const auto fault = find_fault(audit)) tell(fmt::format("{}.{}", path, fault->key), std::string(fault->text));
  }

  void check_kind(const std::string& path, ChoriaRegistrationOptions& adapter) {
    if (adapter.queue_group.empty()) adapter.queue_group = "sluice_" + adapter.name;
    for (const std::string& subject : adapter.ingest_subjects)
      check_subject(path + ".ingest.subjects", subject, true);
    check_stream_name(path + ".stream.name", adapter.stream);
    std::string sample = adapter.subject;
    if (size_t at = sample.find("%s"); at != std::string::npos) sample.replace(at, 2, "sender");
    check_subject(path + ".stream.subject", sample, false);
    check_issuers(path + ".ingest.trusted_issuers", adapter.trusted_issuers);
    if (adapter.signatures != SignatureRule::kMark && adapter.signatures != SignatureRule::kRequire) return;
    if (adapter.trusted_issuers.empty() && adapter.ca_file.empty())
      tell(path + ".ingest.signatures", "nobody can be proven without 'trusted_issuers' or 'ca'");
    if (!adapter.requests) tell(path + ".ingest.signatures", "replies are not signed: off or match");
  }

  void check_issuers(const std::string& path, const std::vector<std::string>& issuers) {
    for (const std::string& issuer : issuers) {
      if (issuer.size() != 64 || issuer.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
        tell(path, "an issuer is a public key of 64 hexadecimal digits");
    }
  }

  void check_kind(const std::string& path, ChoriaSubmissionOptions& adapter) {
    if (adapter.queue_group.empty()) adapter.queue_group = "sluice_" + adapter.name;
    check_name(path + ".collective", adapter.collective);
    check_stream_name(path + ".stream.name", adapter.stream);
    check_subject(path + ".stream.prefix", adapter.prefix, false);
    if (!adapter.audit_prefix.empty()) check_subject(path + ".stream.audit_prefix", adapter.audit_prefix, false);
    if (adapter.network.embedded() && adapter.prefix.starts_with(adapter.collective + ".submission.in"))
      tell(path + ".stream.prefix", "the stream would take the nodes' messages past the adapter");
    check_issuers(path + ".trusted_issuers", adapter.trusted_issuers);
    if (adapter.check != SubmissionCheck::kOff && adapter.trusted_issuers.empty())
      tell(path + ".signatures", "signatures can't be checked without trusted_issuers");
  }

  void check_kind(const std::string& path, NatsSubjectOptions& adapter) {
    if (adapter.queue_group.empty()) adapter.queue_group = "sluice_" + adapter.name;
    for (const std::string& subject : adapter.ingest_subjects)
      check_subject(path + ".ingest.subjects", subject, true);
    check_stream_name(path + ".stream.name", adapter.stream);
  }

  void check_kind(const std::string& path, HttpEventsOptions& adapter) {
    if (adapter.stream.empty()) adapter.stream = "eventsource-" + adapter.name + "-stream";
    if (adapter.subject.empty()) adapter.subject = "eventsource." + adapter.name;
    check_stream_name(path + ".stream.name", adapter.stream);
    check_subject(path + ".stream.subject", adapter.subject, false);
    if (!adapter.path.starts_with('/')) tell(path + ".path", "'path' must begin with '/'");
    check_tls(path + ".tls", adapter.tls);
    const HttpEventsAuthentication& who = adapter.authentication;
    if (who.user.empty() != who.password.empty())
      tell(path + ".authentication", "'user' and 'password' belong together");
    if (who.token.empty() && !who.previous_token.empty())
      tell(path + ".authentication.previous_token", "'previous_token' without 'token'");
    if (who.signature_secret.empty() && !who.previous_signature_secret.empty())
      tell(path + ".authentication.signature", "'previous_secret' without 'secret'");
    if (who.anonymous() && !is_loopback(adapter.host) && !adapter.allow_anonymous)
      tell(path + ".listen", fmt::format("'{}' is reachable from other machines and anybody may send: set "
                                         "'authentication', or allow_anonymous: true",
                                         adapter.host));
    const bool two = adapter.port != 0 && !event_addresses_.insert({adapter.host, adapter.port}).second;
    if (two)
      tell(path + ".listen", fmt::format("another event source listens on {}:{}", adapter.host, adapter.port));
  }

  void check_kind(const std::string& path, KafkaSourceOptions& source) {
    if (source.subject.empty()) source.subject = source.name + ".{topic}.{key}";
    check_stream_name(path + ".stream.name", source.stream);
    if (source.topics.empty()) tell(path + ".topics", "'topics' is empty");
    check_brokers(path, source.brokers);
    for (const std::string& topic : source.topics) check_topic(path + ".topics", topic);
  }

  void check_kind(const std::string& path, KafkaSinkOptions& sink) {
    if (sink.transactional_id.empty()) sink.transactional_id = "sluice-" + sink.name;
    check_stream_name(path + ".stream.name", sink.stream);
    if (!sink.filter_subject.empty()) check_subject(path + ".stream.subject", sink.filter_subject, true);
    check_brokers(path, sink.brokers);
    check_topic(path + ".topic", sink.topic);
  }

  void check_brokers(const std::string& path, const std::vector<std::string>& brokers) {
    if (brokers.empty()) tell(path + ".brokers", "'brokers' is empty");
  }

  /// Kafka's own rule of names.
  void check_topic(const std::string& path, const std::string& topic) {
    const bool good = !topic.empty() && topic.size() <= 249 && topic != "." && topic != ".." &&
                      std::all_of(topic.begin(), topic.end(), [](unsigned char c) {
                        return std::isalnum(c) || c == '_' || c == '-' || c == '.';
                      });
    if (!good) tell(path, fmt::format("'{}' is no topic: letters, digits, '_', '-' and '.', at most 249", topic));
  }

  void check_kind(const std::string& path, FileDropOptions& drop) {
    if (drop.subject.empty()) drop.subject = "filedrop." + drop.name;
    if (drop.failed_folder.empty()) drop.failed_folder = drop.folder + "/failed";
    check_stream_name(path + ".stream", drop.stream);
    check_subject(path + ".subject", drop.subject, false);
    if (drop.done_folder == drop.folder) tell(path + ".done_folder", "'done_folder' is the folder itself");
    if (drop.failed_folder == drop.folder) tell(path + ".failed_folder", "'failed_folder' is the folder itself");
  }

  void check_kind(const std::string& path, HttpChannelOptions& channel) {
    if (channel.stream.empty()) channel.stream = "eventchannel-" + channel.name + "-stream";
    check_stream_name(path + ".stream.name", channel.stream);
    const std::string_view url = channel.endpoint;
    const size_t host = url.find("://");
    if (!url.starts_with("http://") && !url.starts_with("https://"))
      tell(path + ".endpoint", fmt::format("'{}' is no http:// or https:// address", url));
    else if (url.substr(host + 3, url.find('/', host + 3) - host - 3).contains('@'))
      tell(path + ".endpoint", "user and password belong into 'authentication'");
    const ChannelAuthentication& who = channel.authentication;
    if (who.user.empty() != who.password.empty())
      tell(path + ".authentication", "'user' and 'password' belong together");
    if (!who.user.empty() && !who.token.empty()) tell(path + ".authentication", "both 'user' and 'token'");
    if (channel.cert_file.empty() && !channel.key_file.empty()) tell(path + ".tls", "'key' without 'cert'");
    if (channel.last_retry < channel.first_retry) tell(path + ".retry", "'last' is shorter than 'first'");
    for (size_t i = 0; i < channel.routes.size(); ++i) {
      const ChannelRoute& route = channel.routes[i];
      const std::string at = fmt::format("{}.routes[{}]", path, i);
      if (route.stream.empty()) continue;  // told as missing already
      check_stream_name(at + ".stream", route.stream);
      check_subject(at + ".subject", route.subject, true);
      if (route.stream == channel.stream) tell(at + ".stream", "a channel can't feed on itself");
      for (size_t other = 0; other < i; ++other)
        if (channel.routes[other].stream == route.stream && channel.routes[other].subject == route.subject)
          tell(at, "two routes take the same subjects of one stream");
      for (const std::string& term : route.attributes) {
        const size_t equals = term.find('=');
        if (equals == 0 || equals == std::string::npos)
          tell(at + ".attributes", fmt::format("'{}' is not 'attribute=pattern'", term));
      }
    }
  }

  void check_auto_streams() {
    const AutoStreamsSettings& streams = config_.auto_streams;
    check_name("auto_streams.executor_collective", streams.executor_collective);
    if (!streams.executor.enabled) return;
    for (size_t i = 0; i < config_.adapters.size(); ++i) {
      const auto* submission = std::get_if<ChoriaSubmissionOptions>(&config_.adapters[i]);
      if (submission != nullptr && submission->network.embedded() && submission->collective == streams.executor_collective)
        tell("auto_streams.executor", fmt::format("adapter '{}' takes the same submissions: nodes would be answered twice", submission->name));
    }
  }

  void check_replicator() {
    auto& replicator = config_.replicator;
    if (replicator.state_dir.empty()) replicator.state_dir = config_.store.dir + "/replicator";
    settle_replicator(replicator, [this](const std::string& path, std::string text) {
      tell("replicator." + path, std::move(text));
    });
    for (size_t i = 0; i < replicator.streams.size(); ++i) {
      auto& copy = replicator.streams[i];
      std::string path = fmt::format("replicator.streams[{}]", i);
      if (copy.stream.empty()) continue;  // told as missing already
      check_stream_name(path + ".stream", copy.stream);
      check_stream_name(path + ".target_stream", copy.target_stream);
      for (const std::string& filter : copy.filters()) check_subject(path, filter, true);
      check_link(path + ".source", copy.source);
      check_link(path + ".target", copy.target);
      if (copy.inspect.enabled() && copy.inspect.duration.count() == 0)
        tell(path, "sampling needs 'inspect_duration'");
    }
    check_link("replicator.heartbeats.target", replicator.heartbeats.target);
  }

  void check_remotes() {
    std::set<std::string> names;
    for (size_t i = 0; i < config_.remotes.size(); ++i) {
      const RemoteSettings& remote = config_.remotes[i];
      const std::string path = fmt::format("remotes[{}]", i);
      if (remote.name.empty()) continue;  // told as missing already
      check_name(path + ".name", remote.name);
      if (remote.name == "API") tell(path + ".name", "'API' would stand for this server's own API");
      if (!names.insert(remote.name).second)
        tell(path + ".name", fmt::format("two remotes are called '{}'", remote.name));
      if (!remote.domain.empty()) check_name(path + ".domain", remote.domain);
      if (remote.system.embedded()) tell(path + ".system", "needs the URL of the other system");
      check_link(path + ".system", remote.system);
    }
  }

  ReadContext& context_;
  Config& config_;
  std::set<std::string> adapter_names_;
  std::set<std::pair<std::string, uint16_t>> event_addresses_;
};

}  // namespace

bool is_loopback(std::string_view host) {
  if (host == "localhost") return true;
  std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6);
}

void validate(ReadContext& context, Config& config) { Checker(context, config).run(); }

}  // namespace sluice
