#include "server/server.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "crypto/nkey.h"
#include "server/version.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};
constexpr std::string_view kUserInfoSubject = "$SYS.REQ.USER.INFO";

/// Nobody signs with it: the id only has to look like a server's key and be unique.
std::string make_server_id(Random& random) {
  std::array<uint8_t, 32> key{};
  for (uint8_t& byte : key) byte = static_cast<uint8_t>(random.u64());
  return encode_nkey(NkeyKind::kServer, key);
}

}  // namespace

Server::Server(Env& env, ServerOptions options)
    : env_(env),
      options_(std::move(options)),
      id_(make_server_id(env.random)),
      start_wall_(env.clock.wall()),
      authenticator_(options_),
      outbox_options_(make_outbox_options(options_.max_pending, options_.write_deadline)),
      router_(env.executor, env.random),
      flushes_(env.executor),
      world_{.options = options_,
             .outbox = outbox_options_,
             .authenticator = authenticator_,
             .router = router_,
             .clock = env.clock,
             .timers = env.timers,
             .random = env.random,
             .flushes = flushes_,
             .counters = counters_,
             .host = *this},
      self_(std::make_shared<Server*>(this)) {
  if (options_.server_name.empty()) options_.server_name = id_;
  user_info_ = router_.subscribe(
      kUserInfoSubject, {},
      [this](const Message& request, const Origin& origin) { answer_user_info(request, origin); });
}

Server::~Server() {
  *self_ = nullptr;
  listener_.reset();
  close_all();
}

Status Server::start() {
  SLUICE_CHECK(listener_ == nullptr);
  if (Status fine = check_options(options_); !fine) return fine;
  auto listener = env_.network.listen(
      options_.host, options_.port,
      [this](std::unique_ptr<Transport> transport) { accept(std::move(transport)); });
  if (!listener) return std::unexpected(std::move(listener.error()));
  listener_ = std::move(*listener);
  SLUICE_LOG(log_, kInfo, "listening for NATS clients host={} port={} id={} auth={}", options_.host,
             port(), id_, authenticator_.required());
  return {};
}

void Server::accept(std::unique_ptr<Transport> transport) {
  const uint64_t id = ++last_id_;
  ++counters_.total_connections;
  auto owned = std::make_unique<Connection>(world_, id, std::move(transport));
  Connection& connection = *owned;
  const bool full = connections_.size() >= options_.max_connections;
  connections_.emplace(id, std::move(owned));
  connection.start();
  if (full) {
    ++counters_.refused_connections;
    connection.close(CloseReason::kMaxConnections, "maximum connections exceeded");
  }
}

void Server::on_connection_closed(Connection& connection) {
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
  info.go = "none";  // some clients and tools expect the field
  info.host = options_.host;
  info.port = port();
  info.auth_required = authenticator_.required();
  info.max_payload = static_cast<int64_t>(options_.max_payload);
  info.jetstream = options_.jetstream;
  info.client_id = connection.id();
  info.client_ip = connection.ip();
  info.domain = options_.domain;
  info.ldm = draining_;
  if (kind == InfoKind::kConnected) {
    info.connect_info = true;
    info.remote_account = kGlobalAccount;
  }
  info.sluice_version = kSluiceVersion;
  return make_info_line(info);
}

void Server::answer_user_info(const Message& request, const Origin& origin) {
  if (request.reply.empty()) return;
  const Connection* asker = connection(origin.connection_id);
  nlohmann::ordered_json answer;
  answer["server"] = {{"name", options_.server_name},
                      {"host", options_.host},
                      {"id", id_},
                      {"ver", kCompatVersion},
                      {"jetstream", options_.jetstream},
                      {"flags", options_.jetstream ? 1 : 0},
                      {"seq", ++answers_},
                      {"time", format_rfc3339(env_.clock.wall())}};
  if (!options_.domain.empty()) answer["server"]["domain"] = options_.domain;
  answer["data"] = {{"user", asker == nullptr ? std::string() : asker->user()},
                    {"account", kGlobalAccount}};
  const std::string text =
      answer.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  router_.publish(Message{.subject = request.reply, .reply = {}, .headers = {}, .payload = text});
}

void Server::drain(std::chrono::nanoseconds grace, std::move_only_function<void()> done) {
  SLUICE_CHECK(!draining_);
  draining_ = true;
  drained_ = std::move(done);
  listener_.reset();
  SLUICE_LOG(log_, kInfo, "draining connections={}", connections_.size());
  std::vector<Connection*> told;
  for (const auto& [id, connection] : connections_) told.push_back(connection.get());
  for (Connection* connection : told) connection->send_async_info(InfoKind::kLameDuck);
  drain_timer_ = env_.timers.make([this] {
    close_all();
    env_.executor.post(std::exchange(drained_, nullptr));
  });
  drain_timer_->start(grace);
}

void Server::close_all() {
  std::vector<Connection*> open;
  for (const auto& [id, connection] : connections_) open.push_back(connection.get());
  for (Connection* connection : open) {
    if (connection->open()) connection->close(CloseReason::kServerShutdown, {});
  }
}

void Server::collect(MetricSink& sink) const {
  const auto counter = [&sink](std::string_view name, std::string_view help, uint64_t value,
                               const MetricLabels& labels = {}) {
    sink.counter(name, help, labels, static_cast<double>(value));
  };
  sink.gauge("sluice_connections", "Open client connections.", {},
             static_cast<double>(connections_.size()));
  counter("sluice_connections_total", "Client connections accepted.", counters_.total_connections);
  counter("sluice_received_messages_total", "Messages published by clients.", counters_.in_msgs);
  counter("sluice_received_bytes_total", "Headers and payload of them.", counters_.in_bytes);
  counter("sluice_sent_messages_total", "Messages queued for clients.", counters_.out_msgs);
  counter("sluice_sent_bytes_total", "Headers and payload of them.", counters_.out_bytes);
  counter("sluice_slow_consumers_total", "Clients cut because they did not read.",
          counters_.slow_consumers_pending, {{"limit", "max_pending"}});
  counter("sluice_slow_consumers_total", "Clients cut because they did not read.",
          counters_.slow_consumers_deadline, {{"limit", "write_deadline"}});
  counter("sluice_stale_connections_total", "Clients cut because they left PINGs unanswered.",
          counters_.stale_connections);
  counter("sluice_authentication_failures_total", "Refused credentials.", counters_.auth_failures);
  counter("sluice_authentication_timeouts_total", "Clients that showed no credentials in time.",
          counters_.auth_timeouts);
  counter("sluice_protocol_errors_total", "Clients cut for bytes that are not the protocol.",
          counters_.protocol_errors);
  counter("sluice_refused_connections_total", "Refused at max_connections.",
          counters_.refused_connections);
  counter("sluice_refused_subscriptions_total", "Refused at max_subscriptions.",
          counters_.refused_subscriptions);
  counter("sluice_read_pauses_total", "Publishers that waited for a congested subscriber.",
          counters_.read_pauses);
  router_.collect(sink);
}

}  // namespace sluice
