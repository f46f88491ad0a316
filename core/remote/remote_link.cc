#include "remote/remote_link.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <utility>

#include "base/headers.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/nuid.h"
#include "client/inbound_queues.h"
#include "client/parse_number.h"
#include "client/reply_table.h"
#include "compression/dictionary_words.h"
#include "remote/connection.h"
#include "remote/handshake.h"

namespace sluice {
namespace {

constexpr Logger kLog{"remote"};
constexpr std::chrono::milliseconds kFirstBackoff{100};
constexpr std::chrono::milliseconds kLastBackoff{5000};
constexpr size_t kMaxTold_count = 16;
constexpr std::chrono::hours kTellAgain{1};
constexpr size_t kMaxOpenRequests_count = 65536;
constexpr size_t kMaxServers_count = 64;
constexpr size_t kMaxDictionaries_count = DictionaryOffer::kMaxEach;  // of each direction
constexpr size_t kMaxQueued_bytes = 64 * kMiB;

using RequestDone = std::move_only_function<void(Result<LinkMessage>)>;

/// What may stand in a protocol line.
bool is_wire_subject(std::string_view subject) {
  return !subject.empty() && std::all_of(subject.begin(), subject.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '\x7f';
  });
}

struct Subscribed {
  std::string subject;
  std::string queue;
  InboundQueues::SourcePtr source;
  bool draining = false;  ///< the server was told; what it sent before still comes
};

class RemoteLink final : public NatsLink, private ConnectionHandler {
 public:
  RemoteLink(Env& env, LinkOptions options, std::vector<ServerUrl> servers,
             std::shared_ptr<TlsClientContext> tls, SrvLookup lookup,
             std::function<void(const Error& why)> on_trouble)
      : env_(env),
        options_(std::move(options)),
        servers_(std::move(servers)),
        tls_(std::move(tls)),
        lookup_(std::move(lookup)),
        on_trouble_(std::move(on_trouble)),
        inbox_prefix_(options_.inbox_prefix + "." + make_nuid(env.random) + "."),
        queues_(env.executor, [this] { adjust_reading(); }),
        requests_(env.clock, env.timers, kMaxOpenRequests_count,
                  [](RequestDone done) { done(fail(Errc::kTimeout, "no reply in time")); }),
        reconnect_timer_(env.timers.make([this] { dial(); })),
        dictionaries_(options_.dictionary_folder.empty()
                          ? std::make_unique<Dictionaries>(kMaxDictionaries_count)
                          : std::make_unique<Dictionaries>(kMaxDictionaries_count, env.disk, env.disk_workers, options_.dictionary_folder)) {
    reconnect_timer_->start(std::chrono::nanoseconds(0));
  }
  ~RemoteLink() override { alive_.reset(); }  // before the members that look at it
  RemoteLink(const RemoteLink&) = delete;
  RemoteLink& operator=(const RemoteLink&) = delete;

  LinkState state() const override { return state_; }
  Ticket on_state(std::move_only_function<void(LinkState)> listener) override {
    auto held = std::make_shared<std::move_only_function<void(LinkState)>>(std::move(listener));
    listeners_.push_back(held);
    return Ticket([this, held, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) std::erase(listeners_, held);
      *held = nullptr;
    });
  }

  Status publish(const LinkMessage& message) override;
  Ticket request(const LinkMessage& message, std::chrono::nanoseconds timeout,
                 RequestDone done) override;
  std::unique_ptr<LinkSubscription> subscribe(std::string_view subject, std::string_view queue,
                                              LinkHandler handler) override;
  std::string new_inbox() override { return inbox_prefix_ + std::to_string(++inboxes_); }
  std::string peer() const override { return server().text(); }
  uint64_t dropped() const override { return 0; }  // pushed back instead
  LinkTraffic traffic() const override {
    LinkTraffic all = connection_ ? connection_->traffic() : LinkTraffic{};
    all.sent += ended_.sent;
    all.sent_on_wire += ended_.sent_on_wire;
    all.received += ended_.received;
    all.received_on_wire += ended_.received_on_wire;
    return all;
  }

 private:
  class Subscription;

  // ConnectionHandler
  void on_ready() override;
  void on_message(std::string_view sid, const LinkMessage& message) override;
  void on_server_info(const ServerInfo& info) override;
  void on_lost(const Error& why) override;

  void dial();
  const ServerUrl& server() const { return found_.empty() ? servers_[server_] : found_.front(); }
  void look_up();
  void try_next(const Error& why);
  void tell_trouble(std::string_view why);
  void set_state(LinkState state);
  void fail_requests();
  void on_reply(const LinkMessage& reply);
  void pause(uint64_t sid);
  void resume(uint64_t sid);
  void unsubscribe(uint64_t sid);
  void drain(uint64_t sid);
  /// Stops or resumes the socket by what waits in paused subscriptions.
  void adjust_reading();

  std::shared_ptr<char> alive_ = std::make_shared<char>();  ///< for who may outlive the link
  Env& env_;
  const LinkOptions options_;
  std::vector<ServerUrl> servers_;  ///< never empty; the configured ones first
  size_t server_ = 0;
  std::vector<ServerUrl> found_;  ///< what DNS told of servers_[server_] and is not left yet; the first is the present one
  std::shared_ptr<TlsClientContext> tls_;
  const SrvLookup lookup_;
  const std::function<void(const Error& why)> on_trouble_;
  const std::string inbox_prefix_;
  uint64_t inboxes_ = 0;
  uint64_t last_sid_ = 0;
  int failures_ = 0;
  std::vector<std::string> told_;  ///< why, in the log since it was connected last
  MonoTime told_at_{};
  LinkState state_ = LinkState::kConnecting;
  std::vector<std::shared_ptr<std::move_only_function<void(LinkState)>>> listeners_;
  std::unordered_map<uint64_t, Subscribed> subscriptions_;
  InboundQueues queues_;
  bool reading_stopped_ = false;
  LinkTraffic ended_;  ///< of earlier connections
  ReplyTable<RequestDone> requests_;
  std::unique_ptr<LinkSubscription> replies_;
  std::unique_ptr<Timer> reconnect_timer_;
  const std::unique_ptr<Dictionaries> dictionaries_;
  std::unique_ptr<RemoteConnection> connection_;
  std::unique_ptr<DiskWorker> resolver_;  ///< null: nothing was to be looked up yet
};

/// May outlive its link; then it does nothing.
class RemoteLink::Subscription final : public LinkSubscription {
 public:
  Subscription(RemoteLink& link, uint64_t sid) : link_(link), alive_(link.alive_), sid_(sid) {}
  ~Subscription() override {
    if (!alive_.expired()) link_.unsubscribe(sid_);
  }
  void pause() override {
    if (!alive_.expired()) link_.pause(sid_);
  }
  void resume() override {
    if (!alive_.expired()) link_.resume(sid_);
  }
  void drain() override {
    if (!alive_.expired()) link_.drain(sid_);
  }

 private:
  RemoteLink& link_;
  std::weak_ptr<char> alive_;
  const uint64_t sid_;
};

Status RemoteLink::publish(const LinkMessage& message) {
  if (state_ != LinkState::kConnected) return fail(Errc::kClosed, "not connected");
  if (!is_wire_subject(message.subject) ||
      (!message.reply.empty() && !is_wire_subject(message.reply)))
    return fail(Errc::kInvalidArgument, "not a subject");
  if (!message.headers.empty() &&
      (!message.headers.starts_with(kHeaderPreamble) || !message.headers.ends_with("\r\n\r\n")))
    return fail(Errc::kInvalidArgument, "not a header block");
  return connection_->publish(message);
}

Ticket RemoteLink::request(const LinkMessage& message, std::chrono::nanoseconds timeout,
                           RequestDone done) {
  if (!replies_)
    replies_ = subscribe(inbox_prefix_ + "r.*", "", [this](const LinkMessage& m) { on_reply(m); });
  Status sent = requests_.size() < kMaxOpenRequests_count
                    ? Status{}
                    : fail(Errc::kFull, "too many open requests");
  uint64_t token = 0;
  if (sent) {
    token = *requests_.add(std::move(done), timeout);
    const std::string inbox = inbox_prefix_ + "r." + std::to_string(token);
    sent = publish({message.subject, inbox, message.headers, message.payload});
    if (!sent) done = std::move(*requests_.take(token));
  }
  if (!sent) {
    auto waiting = std::make_shared<RequestDone>(std::move(done));
    env_.executor.post([waiting, why = std::move(sent.error())]() mutable {
      if (RequestDone run = std::exchange(*waiting, nullptr)) run(std::unexpected(std::move(why)));
    });
    return Ticket([waiting] { *waiting = nullptr; });
  }
  return Ticket([this, alive = std::weak_ptr<char>(alive_), token] {
    if (!alive.expired()) (void)requests_.take(token);
  });
}

void RemoteLink::on_reply(const LinkMessage& reply) {
  auto done = requests_.take(inbox_token(reply.subject).value_or(UINT64_MAX));
  if (!done) return;
  if (reply.payload.empty() && header_status(reply.headers).code == 503)
    (*done)(fail(Errc::kNoResponders, "no responders"));
  else
    (*done)(reply);
}

std::unique_ptr<LinkSubscription> RemoteLink::subscribe(std::string_view subject,
                                                        std::string_view queue,
                                                        LinkHandler handler) {
  const uint64_t sid = ++last_sid_;
  if (state_ == LinkState::kConnected) connection_->subscribe(subject, queue, sid);
  subscriptions_[sid] = {std::string(subject), std::string(queue), queues_.add(std::move(handler))};
  return std::make_unique<Subscription>(*this, sid);
}

void RemoteLink::unsubscribe(uint64_t sid) {
  const auto found = subscriptions_.find(sid);
  queues_.remove(found->second.source);
  const bool told = found->second.draining;
  subscriptions_.erase(found);
  if (state_ == LinkState::kConnected && !told) connection_->unsubscribe(sid);
  adjust_reading();
}

void RemoteLink::drain(uint64_t sid) {
  if (std::exchange(subscriptions_.at(sid).draining, true)) return;
  if (state_ == LinkState::kConnected) connection_->unsubscribe(sid);
}

void RemoteLink::pause(uint64_t sid) { queues_.pause(subscriptions_.at(sid).source); }

void RemoteLink::resume(uint64_t sid) { queues_.resume(subscriptions_.at(sid).source); }

void RemoteLink::on_message(std::string_view sid_text, const LinkMessage& message) {
  const auto sid = parse_decimal<uint64_t>(sid_text);
  const auto found = sid ? subscriptions_.find(*sid) : subscriptions_.end();
  if (found == subscriptions_.end()) return;  // unsubscribed meanwhile
  const std::weak_ptr<char> alive = alive_;
  queues_.hand_out(found->second.source, message);
  if (!alive.expired()) adjust_reading();
}

void RemoteLink::adjust_reading() {
  if (!connection_) return;
  const bool full = queues_.waiting_count() >= options_.max_pending_messages ||
                    queues_.waiting_bytes() >= kMaxQueued_bytes;
  const bool half_empty = queues_.waiting_count() <= options_.max_pending_messages / 2 &&
                          queues_.waiting_bytes() <= kMaxQueued_bytes / 2;
  if (full && !reading_stopped_) {
    reading_stopped_ = true;
    connection_->stop_reading();
  } else if (reading_stopped_ && half_empty) {
    reading_stopped_ = false;
    connection_->resume_reading();
  }
}

void RemoteLink::dial() {
  if (server().srv) return look_up();
  connection_ = RemoteConnection::open(env_, options_, server(), tls_, *dictionaries_, *this);
  if (reading_stopped_) connection_->stop_reading();
}

void RemoteLink::look_up() {
  auto targets = std::make_shared<std::vector<SrvTarget>>();
  if (!resolver_) resolver_ = env_.disk_workers.make("dns");
  auto ask = [targets, lookup = lookup_, names = srv_names(server().host), dns = options_.dns_server]() -> Status {
    Error last{Errc::kNotFound, 0, {}};
    for (const std::string& name : names) {
      auto found = lookup(name, dns);
      if (found) {
        *targets = *std::move(found);
        return {};
      }
      last = std::move(found.error());
      if (last.code != Errc::kNotFound) break;  // who does not answer will not answer about the next name
    }
    return std::unexpected(std::move(last));
  };
  resolver_->submit(std::move(ask), [this, targets](const Status& outcome) {
    if (!outcome) return try_next(outcome.error());
    const ServerUrl asked = server();
    for (SrvTarget& target : in_srv_order(std::move(*targets), env_.random)) {
      ServerUrl url = asked;
      url.srv = false;
      url.tls_name = url.host = std::move(target.host);
      url.port = target.port;
      found_.push_back(std::move(url));
    }
    SLUICE_LOG(kLog, kInfo, "servers found name={} at={} count={}", options_.name, asked.text(), found_.size());
    dial();
  });
}

void RemoteLink::on_ready() {
  failures_ = 0;
  told_.clear();
  SLUICE_LOG(kLog, kInfo, "connected name={} server={}", options_.name, peer());
  // In the order made, so that a server sees them as on the first connection.
  std::vector<uint64_t> sids;
  for (const auto& [sid, subscribed] : subscriptions_)
    if (!subscribed.draining) sids.push_back(sid);
  std::sort(sids.begin(), sids.end());
  for (const uint64_t sid : sids) {
    const Subscribed& subscribed = subscriptions_[sid];
    connection_->subscribe(subscribed.subject, subscribed.queue, sid);
  }
  set_state(LinkState::kConnected);
}

void RemoteLink::on_server_info(const ServerInfo& info) {
  for (const std::string& text : info.connect_urls) {
    auto url = parse_server_url(text);
    if (!url || url->srv || servers_.size() >= kMaxServers_count) continue;
    const bool known = std::any_of(servers_.begin(), servers_.end(), [&](const ServerUrl& s) {
      return s.host == url->host && s.port == url->port;
    });
    if (known) continue;
    const ServerUrl& teller = server();
    url->user = teller.user;
    url->password = teller.password;
    url->has_password = teller.has_password;
    url->tls = teller.tls;
    url->tls_name = teller.tls_name;  // addresses are told, certificates hold names
    servers_.push_back(std::move(*url));
  }
}

void RemoteLink::on_lost(const Error& why) {
  ended_ = traffic();
  // The connection is on the stack: it goes in a later callback.
  env_.executor.post([old = std::move(connection_)] {});
  try_next(why);
  if (state_ != LinkState::kConnected) return;
  const std::weak_ptr<char> alive = alive_;
  state_ = LinkState::kReconnecting;
  fail_requests();
  if (!alive.expired()) set_state(LinkState::kReconnecting);
}

/// Each reason once, and hourly that it still is so: a link may be down for weeks.
void RemoteLink::tell_trouble(std::string_view why) {
  const MonoTime now = env_.clock.now();
  const bool is_new = std::find(told_.begin(), told_.end(), why) == told_.end() && told_.size() < kMaxTold_count;
  if (is_new) {
    told_.emplace_back(why);
    SLUICE_LOG(kLog, kWarn, "connection lost name={} server={} why=\"{}\"", options_.name, peer(), why);
  } else if (now - told_at_ >= kTellAgain) {
    SLUICE_LOG(kLog, kWarn, "still not connected name={} server={} tries={} why=\"{}\"", options_.name, peer(), failures_, why);
  } else {
    return;
  }
  told_at_ = now;
}

void RemoteLink::try_next(const Error& why) {
  tell_trouble(why.detail);
  if (on_trouble_) on_trouble_(why);
  if (!found_.empty()) found_.erase(found_.begin());
  if (found_.empty()) server_ = (server_ + 1) % servers_.size();
  const auto full = std::min(kFirstBackoff * (1 << std::min(failures_, 6)), kLastBackoff);
  ++failures_;
  const auto half = std::chrono::nanoseconds(full) / 2;
  reconnect_timer_->start(half + std::chrono::nanoseconds(static_cast<int64_t>(
                                     env_.random.below(static_cast<uint64_t>(half.count())))));
}

void RemoteLink::fail_requests() {
  const std::weak_ptr<char> alive = alive_;
  for (const uint64_t token : requests_.tokens()) {
    if (auto done = requests_.take(token)) (*done)(fail(Errc::kClosed, "the connection broke"));
    if (alive.expired()) return;
  }
}

void RemoteLink::set_state(LinkState state) {
  state_ = state;
  const std::weak_ptr<char> alive = alive_;
  const auto listeners = listeners_;
  for (const auto& listener : listeners) {
    if (*listener) (*listener)(state);
    if (alive.expired()) return;
  }
}

/// A Choria broker lets through the replies to the token's owner alone.
Result<std::string> inbox_prefix_by_token(Disk& disk, const LinkOptions& options) {
  const std::string& collective = options.choria_collective;
  if (!is_wire_subject(collective) || collective.find_first_of("*>") != std::string::npos)
    return fail(Errc::kInvalidArgument, "'" + collective + "' is no Choria collective: it begins the subject of replies");
  const auto token = read_choria_token(disk, options.choria_token_file);
  if (!token) return token;
  const std::string owner = choria_token_owner(*token);
  if (owner.empty()) return fail(Errc::kInvalidArgument, options.choria_token_file + ": the token names neither an identity nor a caller id");
  return choria_inbox_prefix(collective, owner);
}

}  // namespace

Result<std::unique_ptr<NatsLink>> make_remote_link(Env& env, const LinkOptions& wanted, SrvLookup lookup,
                                                 std::function<void(const Error& why)> on_trouble) {
  if (wanted.urls.empty()) return fail(Errc::kInvalidArgument, "no server URL");
  LinkOptions options = wanted;
  if (!options.choria_token_file.empty() && !options.choria_collective.empty()) {
    auto prefix = inbox_prefix_by_token(env.disk, options);
    if (!prefix) return std::unexpected(std::move(prefix.error()));
    options.inbox_prefix = *std::move(prefix);
  }
  std::vector<ServerUrl> servers;
  for (const std::string& text : options.urls) {
    auto url = parse_server_url(text);
    if (!url) return std::unexpected(std::move(url.error()));
    servers.push_back(std::move(*url));
  }
  // Not all links of a site should begin with the same server.
  std::rotate(servers.begin(),
              servers.begin() + static_cast<ptrdiff_t>(env.random.below(servers.size())),
              servers.end());
  // Reading the system's authorities takes a while, so it is done only for who asks for TLS; a
  // server that demands it unasked costs that later.
  const bool wants_tls =
      !options.tls_ca_file.empty() || !options.tls_cert_file.empty() ||
      std::any_of(servers.begin(), servers.end(), [](const ServerUrl& url) { return url.tls; });
  std::shared_ptr<TlsClientContext> context;
  if (wants_tls) {
    auto tls = make_tls_client_context(tls_options(options));
    if (!tls) return std::unexpected(std::move(tls.error()));
    context = std::move(*tls);
  }
  return std::make_unique<RemoteLink>(env, options, std::move(servers), std::move(context), std::move(lookup), std::move(on_trouble));
}

}  // namespace sluice
