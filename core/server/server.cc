#include "server/server.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "crypto/nkey.h"
#include "server/account_labels.h"
#include "server/operator_mode.h"
#include "server/version.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};

/// Nobody signs with it: the id only has to look like a server's key and be unique.
std::string make_server_id(Random& random) {
  std::array<uint8_t, 32> key{};
  for (uint8_t& byte : key) byte = static_cast<uint8_t>(random.u64());
  return encode_nkey(NkeyKind::kServer, key);
}

/// What can't be right is not built from; start() then tells.
ServerOptions without_accounts(ServerOptions options) {
  options.users.clear();
  options.accounts.clear();
  options.mappings.clear();
  options.system_account.clear();
  options.no_auth_user.clear();
  options.default_permissions.reset();
  options.operator_mode = {};
  return options;
}

/// The figures of one account, or of several.
struct AccountSums {
  AccountCounters counters;
  size_t connections = 0;
  size_t leaf_connections = 0;
  size_t subscriptions = 0;

  void add(const Account& account) {
    counters.in_msgs += account.counters.in_msgs;
    counters.in_bytes += account.counters.in_bytes;
    counters.out_msgs += account.counters.out_msgs;
    counters.out_bytes += account.counters.out_bytes;
    counters.slow_consumers += account.counters.slow_consumers;
    connections += account.connections;
    leaf_connections += account.leaf_connections;
    subscriptions += account.router().subscription_count();
  }
};

void collect_account(std::string_view name, const AccountSums& sums, MetricSink& sink) {
  const MetricLabels labels{{"account", name}};
  const auto gauge = [&](std::string_view metric, std::string_view help, size_t value) {
    sink.gauge(metric, help, labels, static_cast<double>(value));
  };
  const auto counter = [&](std::string_view metric, std::string_view help, uint64_t value) {
    sink.counter(metric, help, labels, static_cast<double>(value));
  };
  gauge("sluice_account_connections", "Clients of an account.", sums.connections);
  gauge("sluice_account_leaf_connections", "Leaf links of an account.", sums.leaf_connections);
  gauge("sluice_account_subscriptions", "Subscriptions in an account.", sums.subscriptions);
  const AccountCounters& c = sums.counters;
  counter("sluice_account_received_messages_total", "Messages published in an account.", c.in_msgs);
  counter("sluice_account_received_bytes_total", "Headers and payload of them.", c.in_bytes);
  counter("sluice_account_sent_messages_total", "Messages queued for clients and links of an account.", c.out_msgs);
  counter("sluice_account_sent_bytes_total", "Headers and payload of them.", c.out_bytes);
  counter("sluice_account_slow_consumers_total", "Connections of an account cut as too slow.",
          c.slow_consumers);
}

/// By account; of more than kMaxAccountLabels those that come later by name are one.
void collect_accounts(const Accounts& accounts, MetricSink& sink) {
  size_t told = 0;
  AccountSums others;
  accounts.each([&](const Account& account) {
    if (told == kMaxAccountLabels) return others.add(account);
    ++told;
    AccountSums own;
    own.add(account);
    collect_account(account.name(), own, sink);
  });
  if (accounts.size() > told) collect_account(kOtherAccounts, others, sink);
}

}  // namespace

Server::Server(Env& env, ServerOptions options)
    : env_(env),
      options_(std::move(options)),
      id_(make_server_id(env.random)),
      start_wall_(env.clock.wall()),
      fine_(check_options(options_)),
      directory_(fine_ ? make_jwt_directory(env.disk, options_) : nullptr),
      jwts_(fine_ ? make_jwt_accounts(options_, directory_.get()) : nullptr),
      outbox_options_(make_outbox_options(options_.max_pending, options_.write_deadline)),
      accounts_(env, fine_ ? with_jwt_accounts(options_, jwts_.get(), start_wall_)
                           : without_accounts(options_)),
      imports_(env, accounts_,
               [this](uint64_t cid, bool everything) { return client_info(cid, everything); }),
      authenticator_(fine_ ? options_ : without_accounts(options_), accounts_, env.clock,
                     jwts_.get()),
      passwords_(env.disk_workers),
      flushes_(env.executor),
      handshakes_(env.executor),
      tls_(env.clock, env.timers, handshakes_),
      compression_{.executor = env.executor, .max_streams = options_.max_compressed},
      tracer_(env.clock, env.random, [this] { return events_->server_json(); }),
      world_{.options = options_,
             .outbox = outbox_options_,
             .authenticator = authenticator_,
             .accounts = accounts_,
             .passwords = passwords_,
             .auth_failures = auth_failures_,
             .clock = env.clock,
             .timers = env.timers,
             .random = env.random,
             .flushes = flushes_,
             .counters = counters_,
             .tracer = tracer_,
             .host = *this},
      self_(std::make_shared<Server*>(this)) {
  if (options_.server_name.empty()) options_.server_name = id_;
  make_system();
  std::tie(advertised_host_, advertised_port_) = split_advertised(options_);
}

Server::~Server() {
  *self_ = nullptr;
  events_->shut_down();
  listener_.reset();
  if (websocket_ != nullptr) websocket_->stop_listening();
  close_all();
  dead_.clear();  // their transports refer to the WebSocket listener
}

Status Server::start() {
  SLUICE_CHECK(listener_ == nullptr);
  if (!fine_) return fine_;
  if (options_.tls.enabled()) {
    if (Status loaded = tls_.load(options_.tls, options_.allow_non_tls); !loaded) return loaded;
  }
  auto listener = env_.network.listen(
      options_.host, options_.port,
      [this](std::unique_ptr<Transport> transport) { accept(std::move(transport)); });
  if (!listener) return std::unexpected(std::move(listener.error()));
  if (Status begun = start_websocket(); !begun) return begun;
  listener_ = std::move(*listener);
  SLUICE_LOG(log_, kInfo, "listening for NATS clients host={} port={} id={} auth={}", options_.host,
             port(), id_, authenticator_.required());
  return {};
}

Status Server::start_websocket() {
  if (!options_.websocket.enabled) return {};
  websocket_ = std::make_unique<WsAcceptor>(
      env_, options_.websocket, options_.max_payload, handshakes_,
      [this](std::unique_ptr<Transport> transport, WsUpgrade upgrade) {
        begin_session(std::move(transport), ConnectionKind::kWebSocket,
                      std::make_unique<const WsCookies>(std::move(upgrade.cookies)), false);
      });
  return websocket_->start();
}

void Server::accept(std::unique_ptr<Transport> transport) {
  const bool throttled = tls_.enabled() && !tls_.admit();
  if (tls_.enabled()) transport = tls_.wrap(std::move(transport));
  if (compression_.max_streams != 0)
    transport = std::make_unique<CompressedTransport>(std::move(transport), compression_);
  begin_session(std::move(transport), ConnectionKind::kStandard, nullptr, throttled);
}

void Server::begin_session(std::unique_ptr<Transport> transport, ConnectionKind kind,
                           std::unique_ptr<const WsCookies> cookies, bool throttled) {
  const uint64_t id = ++last_id_;
  ++counters_.total_connections;
  auto owned =
      std::make_unique<Connection>(world_, id, std::move(transport), kind, std::move(cookies));
  Connection& connection = *owned;
  const bool full = connections_.size() >= options_.max_connections;
  connections_.emplace(id, std::move(owned));
  connection.start();
  if (full) {
    ++counters_.refused_connections;
    connection.close(CloseReason::kMaxConnections, "maximum connections exceeded");
  } else if (throttled) {
    ++counters_.throttled_connections;
    connection.close(CloseReason::kMaxConnections,
                     "Connection throttling is active. Please try again later.");
  }
}

void Server::on_connection_closed(Connection& connection) {
  if (connection.was_bound()) events_->disconnected(connection);
  closed_.push_back(connection.info());
  while (closed_.size() > options_.max_closed_connections) closed_.pop_front();
  const auto found = connections_.find(connection.id());
  SLUICE_CHECK(found != connections_.end());
  dead_.push_back(std::move(found->second));
  connections_.erase(found);
  if (dead_.size() > 1) return;
  env_.executor.post([self = self_] {
    if (*self != nullptr) (*self)->reap();
  });
}

void Server::reap() { dead_.clear(); }

const Connection* Server::connection(uint64_t cid) const {
  const auto found = connections_.find(cid);
  return found == connections_.end() ? nullptr : found->second.get();
}

std::vector<ConnectionInfo> Server::connections() const {
  std::vector<ConnectionInfo> all;
  all.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) all.push_back(connection->info());
  std::ranges::sort(all, {}, &ConnectionInfo::cid);
  return all;
}

std::string Server::info_line(const Connection& connection, InfoKind kind) {
  InfoOptions info;
  info.server_id = id_;
  info.server_name = options_.server_name;
  info.version = kCompatVersion;
  if (options_.jetstream) info.api_lvl = kApiLevel;
  info.go = "none";  // some clients and tools expect the field
  info.host = advertised_host_;
  info.port = advertised_port_ == 0 ? port() : advertised_port_;
  info.headers = options_.headers;
  info.auth_required = authenticator_.required();
  const TlsAcceptor& tls = connection.websocket() ? websocket_->tls() : tls_;
  if (connection.websocket()) {
    info.host = options_.websocket.host;
    info.port = websocket_->port();
  }
  info.tls_required = tls.enabled() && !tls.optional();
  info.tls_available = tls.enabled() && tls.optional();
  info.tls_verify = tls.enabled() && tls.verifies();
  info.max_payload = static_cast<int64_t>(connection.max_payload());
  info.nonce = connection.nonce();
  info.jetstream = options_.jetstream;
  info.client_id = connection.id();
  info.client_ip = connection.ip();
  info.domain = options_.domain;
  info.ldm = draining_ || kind == InfoKind::kLameDuck;
  if (kind == InfoKind::kConnected) {
    info.connect_info = true;
    info.remote_account = connection.account().name();
    info.acc_is_sys = connection.account().is_system();
  }
  info.sluice_version = kSluiceVersion;
  info.sluice_zstd = kind == InfoKind::kGreeting && !connection.websocket() &&
                     compression_.streams < compression_.max_streams;
  info.sluice_zstd_dictionaries = info.sluice_zstd;
  return make_info_line(info);
}

void Server::on_connection_bound(Connection& connection) { events_->connected(connection); }

void Server::on_connection_refused(Connection& connection, std::string_view user) {
  events_->refused(connection, user);
}

std::string Server::client_info_json(const Connection& connection) {
  nlohmann::ordered_json json;
  json["start"] = format_rfc3339(connection.start_wall());
  if (!connection.ip().empty()) json["host"] = connection.ip();
  json["id"] = connection.id();
  json["acc"] = connection.account().name();
  if (!connection.user().empty()) json["user"] = connection.user();
  if (!connection.name().empty()) json["name"] = connection.name();
  if (!connection.lang().empty()) json["lang"] = connection.lang();
  if (!connection.version().empty()) json["ver"] = connection.version();
  if (connection.rtt().count() != 0) json["rtt"] = connection.rtt().count();
  json["server"] = options_.server_name;
  json["kind"] = "Client";
  json["client_type"] = connection.kind() == ConnectionKind::kWebSocket ? "websocket" : "nats";
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

LatencyClient Server::client_info(uint64_t cid, bool everything) const {
  const Connection* client = connection(cid);
  if (client == nullptr) return {};
  return {everything ? client->client_info_json() : client->client_account_json(), client->rtt()};
}

size_t Server::subscription_count() const {
  size_t count = 0;
  accounts_.each([&count](const Account& account) { count += account.router().subscription_count(); });
  return count;
}

ServerCounters Server::counters() const {
  ServerCounters all = counters_;
  accounts_.each([&all](const Account& account) {
    all.in_msgs += account.counters.in_msgs;
    all.in_bytes += account.counters.in_bytes;
    all.out_msgs += account.counters.out_msgs;
    all.out_bytes += account.counters.out_bytes;
  });
  return all;
}

Status Server::reload_tls(const TlsListenerOptions& tls, bool allow_non_tls) {
  if (Status loaded = tls_.load(tls, allow_non_tls); !loaded) return loaded;
  options_.tls = tls;
  options_.allow_non_tls = allow_non_tls;
  return {};
}

Status Server::reload_websocket_tls(const TlsListenerOptions& tls) {
  if (websocket_ == nullptr || !websocket_->tls().enabled()) return {};
  if (Status loaded = websocket_->reload_tls(tls); !loaded) return loaded;
  options_.websocket.tls = tls;
  return {};
}

InterestStats Server::interest_stats() const {
  InterestStats out;
  double reached = 0;
  accounts_.each([&](const Account& account) {
    const InterestStats one = account.router().interest_stats();
    out.inserts += one.inserts;
    out.removes += one.removes;
    out.hits += one.hits;
    out.misses += one.misses;
    out.remembered += one.remembered;
    out.max_fanout = std::max(out.max_fanout, one.max_fanout);
    reached += one.avg_fanout * static_cast<double>(one.remembered);
  });
  if (out.remembered != 0) out.avg_fanout = reached / static_cast<double>(out.remembered);
  return out;
}

void Server::collect_routers(MetricSink& sink) const {
  uint64_t hits = 0, misses = 0, too_deep = 0;
  accounts_.each([&](const Account& account) {
    hits += account.router().cache_hits();
    misses += account.router().cache_misses();
    too_deep += account.router().too_deep_count();
  });
  sink.gauge("sluice_service_responses_open",
             "Requests to services of other accounts that are not answered yet.", {},
             static_cast<double>(imports_.open_responses()));
  sink.counter("sluice_service_responses_expired_total",
               "Such requests whose answers did not come in time.", {},
               static_cast<double>(imports_.expired_responses()));
  sink.counter("sluice_service_requests_refused_total",
               "Such requests refused because too many were open.", {},
               static_cast<double>(imports_.refused_requests()));
  sink.gauge("sluice_accounts", "Accounts.", {}, static_cast<double>(accounts_.size()));
  sink.gauge("sluice_subscriptions", "Subscriptions, those of the process itself included.", {},
             static_cast<double>(subscription_count()));
  sink.gauge("sluice_congested_connections", "Connections above their high watermark.", {},
             static_cast<double>(accounts_.congestion().count()));
  sink.counter("sluice_match_cache_hits_total", "Subject look-ups answered by the match cache.", {},
               static_cast<double>(hits));
  sink.counter("sluice_match_cache_misses_total", "Subject look-ups that walked the tree.", {},
               static_cast<double>(misses));
  sink.counter("sluice_publish_too_deep_total", "Messages dropped: handlers nested too deep.", {},
               static_cast<double>(too_deep));
}

void Server::collect_compression(MetricSink& sink) const {
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  const CompressionWorld& all = compression_;
  sink.gauge("sluice_compressed_connections", "Open connections of other Sluices that are compressed.", {}, number(all.streams));
  const char* const ended = "Such connections closed: at max_compressed, or for bytes that are not compressed ones.";
  sink.counter("sluice_compressed_connections_failed_total", ended, {{"why", "max_compressed"}}, number(all.crowded_out));
  sink.counter("sluice_compressed_connections_failed_total", ended, {{"why", "corrupt"}}, number(all.broken));
  sink.counter("sluice_compression_dictionaries_total", "Compressed connections that asked for a dictionary of an earlier one.", {{"found", "yes"}},
               number(all.agreed));
  sink.counter("sluice_compression_dictionaries_total", "Compressed connections that asked for a dictionary of an earlier one.", {{"found", "no"}},
               number(all.offered - all.agreed));
  sink.gauge("sluice_compression_dictionaries", "Held, 110 KiB each at most.", {}, number(all.dictionaries.count()));
  const std::tuple<const char*, const char*, uint64_t> flows[] = {{"in", "plain", all.flow.received},
                                                                  {"in", "wire", all.flow.received_packed},
                                                                  {"out", "plain", all.flow.sent},
                                                                  {"out", "wire", all.flow.sent_packed}};
  for (const auto& [direction, form, bytes] : flows)
    sink.counter("sluice_compressed_bytes_total", "Bytes of compressed connections, as they are and as they cross the network.",
                 {{"direction", direction}, {"form", form}}, number(bytes));
}

void Server::collect(MetricSink& sink) const {
  const auto counter = [&sink](std::string_view name, std::string_view help, uint64_t value,
                               const MetricLabels& labels = {}) {
    sink.counter(name, help, labels, static_cast<double>(value));
  };
  tracer_.collect(sink);
  collect_accounts(accounts_, sink);
  sink.gauge("sluice_connections", "Open client connections.", {},
             static_cast<double>(connections_.size()));
  const ServerCounters all = counters();
  counter("sluice_connections_total", "Client connections accepted.", counters_.total_connections);
  counter("sluice_received_messages_total", "Messages published by clients.", all.in_msgs);
  counter("sluice_received_bytes_total", "Headers and payload of them.", all.in_bytes);
  counter("sluice_sent_messages_total", "Messages queued for clients.", all.out_msgs);
  counter("sluice_sent_bytes_total", "Headers and payload of them.", all.out_bytes);
  counter("sluice_slow_consumers_total", "Clients cut because they did not read.",
          counters_.slow_consumers_pending, {{"limit", "max_pending"}});
  counter("sluice_slow_consumers_total", "Clients cut because they did not read.",
          counters_.slow_consumers_deadline, {{"limit", "write_deadline"}});
  counter("sluice_stale_connections_total", "Clients cut because they left PINGs unanswered.",
          counters_.stale_connections);
  counter("sluice_authentication_failures_total", "Refused credentials.", counters_.auth_failures);
  counter("sluice_authentication_timeouts_total", "Clients that showed no credentials in time.",
          counters_.auth_timeouts);
  counter("sluice_permission_violations_total", "Publishes and subscriptions that were not permitted.",
          counters_.permission_violations);
  counter("sluice_password_checks_refused_total",
          "Logins refused because too many passwords were being checked.",
          passwords_.refused_count());
  counter("sluice_tls_handshake_failures_total", "TLS handshakes that failed or took too long.",
          counters_.tls_handshake_failures);
  counter("sluice_tls_throttled_connections_total", "Refused at tls.connection_rate_limit.",
          counters_.throttled_connections);
  counter("sluice_tls_handshake_delays_total",
          "Steps of TLS handshakes put off to a later round of the loop.", handshakes_.delayed());
  if (tls_.enabled()) {
    sink.gauge("sluice_tls_certificate_expiry_timestamp_seconds",
               "When the first certificate of the listener ends.", {{"listener", "client"}},
               static_cast<double>(tls_.not_after()) / 1e9);
  }
  counter("sluice_protocol_errors_total", "Clients cut for bytes that are not the protocol.",
          counters_.protocol_errors);
  counter("sluice_refused_connections_total", "Refused at max_connections.",
          counters_.refused_connections);
  counter("sluice_refused_subscriptions_total", "Refused at max_subscriptions.",
          counters_.refused_subscriptions);
  counter("sluice_read_pauses_total", "Publishers that waited for a congested subscriber.",
          counters_.read_pauses);
  if (websocket_ != nullptr) websocket_->collect(sink);
  collect_compression(sink);
  collect_routers(sink);
  counter("sluice_dropped_messages_total",
          "Messages not delivered to a congested subscriber (no_fast_producer_stall).",
          counters_.dropped_messages);
}

}  // namespace sluice
