#include "server/connection.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/base64.h"
#include "base/check.h"
#include "base/log.h"
#include "crypto/secret.h"
#include "server/traced_message.h"
#include "subject/subject.h"
#include "wire/encoder.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};
constexpr std::chrono::seconds kFirstPing{2};
constexpr std::chrono::hours kRttInterval{1};
constexpr size_t kNonce_bytes = 11;
/// A queue name that nats-server keeps for itself.
constexpr std::string_view kSystemQueue = "_sys_";

/// "1.2.3.4:5678" or "[::1]:5678" → address and port; both empty for what has no address.
std::pair<std::string, uint16_t> split_address(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {address, 0};
  uint16_t port = 0;
  for (const char c : std::string_view(address).substr(colon + 1)) {
    if (c < '0' || c > '9') return {address, 0};
    port = static_cast<uint16_t>(port * 10 + (c - '0'));
  }
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {host, port};
}

/// A browser can't put into CONNECT what stands in a cookie that its scripts may not read.
void take_cookies(const WsCookies& cookies, ConnectOptions& options) {
  const auto fill = [](std::string& given, const std::string& cookie) {
    if (given.empty()) given = cookie;
  };
  fill(options.jwt, cookies.jwt);
  fill(options.user, cookies.user);
  fill(options.pass, cookies.pass);
  fill(options.auth_token, cookies.token);
}

CloseReason close_reason_of(WireError error) {
  switch (error) {
    case WireError::kControlLineTooLong:
      return CloseReason::kMaxControlLine;
    case WireError::kPayloadTooLarge:
      return CloseReason::kMaxPayload;
    case WireError::kNotConnect:
      return CloseReason::kAuthenticationFailure;
    case WireError::kPeerError:
      return CloseReason::kParseError;
    case WireError::kUnknownOperation:
    case WireError::kBadArguments:
      break;
  }
  return CloseReason::kProtocolViolation;
}

}  // namespace

ClientSubscription::ClientSubscription(Connection& connection, const SubOp& op)
    : Subscription(connection.id(), op.subject, op.queue), connection_(connection), sid_(op.sid) {}

bool ClientSubscription::take(const Message& message, const Origin& origin) {
  return connection_.take(*this, message, origin);
}

bool ClientSubscription::congested() const { return connection_.congested(); }

Connection::Connection(ConnectionWorld& world, uint64_t id, std::unique_ptr<Transport> transport,
                       ConnectionKind kind, std::unique_ptr<const WsCookies> cookies)
    : world_(world),
      id_(id),
      transport_(std::move(transport)),
      cookies_(std::move(cookies)),
      ping_interval_(cookies_ != nullptr && world.options.websocket.ping_interval.count() > 0
                         ? world.options.websocket.ping_interval
                         : world.options.ping_interval),
      outbox_(*transport_, world.outbox, world.timers, world.flushes, *this),
      parser_({.max_control_line = world.options.max_control_line,
               .max_payload = world.options.max_payload,
               .headers = false,
               .connect_first = world.authenticator.required()}),
      kind_(kind),
      account_(&world.accounts.global()),
      start_wall_(world.clock.wall()),
      start_(world.clock.now()),
      last_in_(start_),
      timer_(world.timers.make([this] { on_timer(); })) {
  std::tie(ip_, port_) = split_address(transport_->peer_address());
  if (world.authenticator.needs_nonce()) nonce_ = base64url_encode(unguessable_bytes(kNonce_bytes));
}

Connection::~Connection() {
  SLUICE_CHECK(!open());
  if (self_ != nullptr) *self_ = nullptr;
}

void Connection::start() {
  send(world_.host.info_line(*this, InfoKind::kGreeting));
  const IdentityPtr& anonymous = world_.authenticator.anonymous();
  if (anonymous != nullptr && !bind(anonymous)) return;
  if (transport_->established()) on_established();
  transport_->start(*this);
}

/// What follows is measured from here: a TLS handshake has a time limit of its own.
void Connection::on_established() {
  established_ = true;
  start_greeting_timer();
}

void Connection::start_greeting_timer() {
  waiting_ = parser_.limits().connect_first ? Waiting::kLogin : Waiting::kPings;
  timer_->start(parser_.limits().connect_first ? world_.options.auth_timeout : ping_interval_);
}

void Connection::options_changed() {
  parser_.limits().max_control_line = world_.options.max_control_line;
  parser_.limits().max_payload = max_payload();
}

void Connection::close(CloseReason reason, std::string_view error_text) {
  if (!open()) return;
  state_ = State::kClosed;
  close_reason_ = reason;
  timer_->stop();
  if (pause_timer_ != nullptr) pause_timer_->stop();
  if (expiry_timer_ != nullptr) expiry_timer_->stop();
  relief_ = Ticket();
  drop_all_subscriptions();
  if (outbox_.congested()) world_.accounts.congestion().ended();
  if (!error_text.empty()) append_err(outbox_.bytes(), error_text);
  const bool peer_reads = reason != CloseReason::kSlowConsumerPendingBytes &&
                          reason != CloseReason::kSlowConsumerWriteDeadline &&
                          reason != CloseReason::kClientClosed &&
                          reason != CloseReason::kReadError &&
                          reason != CloseReason::kTlsHandshakeFailure;
  if (websocket()) transport_->set_close_status(websocket_close_code(reason), to_string(reason));
  outbox_.stop(peer_reads);
  transport_->close(peer_reads);
  SLUICE_LOG(log_, kDebug, "connection closed cid={} reason={}", id_, to_string(reason));
  unbind();
  world_.host.on_connection_closed(*this);
}

// ---------------------------------------------------------------- in

void Connection::on_bytes(std::string_view bytes) {
  if (login_ != nullptr || waiting_ == Waiting::kRefusal) [[unlikely]] {
    if (login_ != nullptr) login_->held.append(bytes);
    return;
  }
  std::string_view rest;
  if (!parser_.feed(bytes, *this, &rest) && login_ != nullptr) login_->held.assign(rest);
  if (active_) {
    active_ = false;
    last_in_ = world_.clock.now();
  }
}

void Connection::on_error(WireError error) {
  if (error == WireError::kNotConnect) {
    ++world_.counters.auth_failures;
    world_.host.on_connection_refused(*this, {});
  } else {
    ++world_.counters.protocol_errors;
  }
  close(close_reason_of(error), error_text(error));
}

void Connection::on_closed(const Error& why) {
  if (!established_) {
    ++world_.counters.tls_handshake_failures;
    SLUICE_LOG(log_, kInfo, "TLS handshake failed cid={} ip={} error=\"{}\"", id_, ip_, why.detail);
    close(CloseReason::kTlsHandshakeFailure, {});
    return;
  }
  close(why.code == Errc::kClosed ? CloseReason::kClientClosed : CloseReason::kReadError, {});
}

bool Connection::on_connect(std::string_view json) {
  active_ = true;
  Result<ConnectOptions> options = parse_connect(json);
  if (!options) {
    ++world_.counters.protocol_errors;
    close(CloseReason::kProtocolViolation, {});
    return false;
  }
  if (cookies_ != nullptr) take_cookies(*cookies_, *options);
  return log_in(*options);
}

bool Connection::may_subscribe(const SubOp& op) {
  if (op.queue == kSystemQueue ||
      (permissions_ != nullptr && !permissions_->rules().may_subscribe(op.subject, op.queue))) {
    ++world_.counters.permission_violations;
    send_error(op.queue.empty()
                   ? fmt::format("Permissions Violation for Subscription to \"{}\"", op.subject)
                   : fmt::format(
                         "Permissions Violation for Subscription to \"{}\" using queue \"{}\"",
                         op.subject, op.queue));
    return false;
  }
  const auto full = [this](int64_t limit) {
    return limit >= 0 && subscriptions_.size() >= static_cast<size_t>(limit);
  };
  const size_t limit = world_.options.max_subscriptions;
  if ((limit != 0 && subscriptions_.size() >= limit) ||
      full(account_->options().max_subscriptions) ||
      (identity_ != nullptr && full(identity_->max_subscriptions))) {
    ++world_.counters.refused_subscriptions;
    send_error("maximum subscriptions exceeded");
    return false;
  }
  return true;
}

bool Connection::on_sub(const SubOp& op) {
  active_ = true;
  if (const size_t most = world_.options.max_subject_tokens;
      most != 0 && static_cast<size_t>(std::ranges::count(op.subject, '.')) >= most) {
    ++world_.counters.refused_subscriptions;
    send_error(fmt::format("Permissions Violation for Subscription to \"{}\", too many tokens",
                           op.subject));
    return open();
  }
  if (!may_subscribe(op)) return open();
  if (!subscriptions_.contains(op.sid)) {
    auto made = std::make_unique<ClientSubscription>(*this, op);
    made->filtered_ = permissions_ != nullptr && permissions_->rules().needs_filter(op.subject);
    Subscription* added = account_->router().add(std::move(made));
    if (added == nullptr) {
      send_error("Invalid Subject");
      return open();
    }
    auto* subscription = static_cast<ClientSubscription*>(added);
    subscriptions_.emplace(subscription->sid(), subscription);
  }
  if (verbose_) send(kOkLine);
  return open();
}

bool Connection::on_unsub(const UnsubOp& op) {
  active_ = true;
  const auto found = subscriptions_.find(op.sid);
  if (found != subscriptions_.end()) {
    ClientSubscription& subscription = *found->second;
    if (op.max > subscription.delivered_) {
      subscription.max_ = op.max;
    } else {
      drop(subscription);
    }
  }
  if (verbose_) send(kOkLine);
  return open();
}

bool Connection::on_ping() {
  active_ = true;
  send(kPongLine);
  // The PONG goes first: clients read one line after CONNECT and PING, and want it to be this one.
  if (state_ == State::kConnected && async_info_ && !second_info_sent_) {
    second_info_sent_ = true;
    send(world_.host.info_line(*this, InfoKind::kConnected));
  }
  return open();
}

bool Connection::on_pong() {
  if (pings_out_ > 0) rtt_ = std::max(world_.clock.now() - ping_sent_, std::chrono::nanoseconds(1));
  pings_out_ = 0;
  return true;
}

void Connection::drop(ClientSubscription& subscription) {
  subscriptions_.erase(subscription.sid());
  account_->router().remove(subscription);
}

void Connection::drop_all_subscriptions() {
  for (const auto& [sid, subscription] : std::exchange(subscriptions_, {}))
    account_->router().remove(*subscription);
}

// ---------------------------------------------------------------- out

/// @return why the subscriber does not get it, in nats-server's words; nullptr = it does
const char* Connection::withholds(const ClientSubscription& subscription, const Message& message,
                                  bool own) {
  if (own && !echo_) return "Not delivered because of no echo";
  if (world_.options.no_fast_producer_stall && outbox_.congested()) {
    ++world_.counters.dropped_messages;
    return "Not delivered because fast producer not stalled and consumer is slow";
  }
  if (permissions_ != nullptr && subscription.filtered_ &&
      !permissions_->may_receive(message.subject)) [[unlikely]] {
    return "Not delivered because subscription denies this subject";
  }
  return nullptr;
}

bool Connection::take(ClientSubscription& subscription, const Message& message,
                      const Origin& origin) {
  const bool own = origin.connection_id == id_;
  const char* withheld = withholds(subscription, message, own);
  if (TracedMessage* trace = TracedMessage::of(origin); trace != nullptr) [[unlikely]] {
    trace->egress({.id = id_,
                   .name = name_,
                   .account = account_->name(),
                   .subject = subscription.subject(),
                   .queue = subscription.queue(),
                   .error = withheld});
    if (trace->only()) return withheld == nullptr;
  }
  if (withheld != nullptr) return false;
  if (permissions_ != nullptr && !message.reply.empty() && permissions_->grants_replies()) [[unlikely]]
    permissions_->grant_reply(message.reply, world_.clock.now());
  size_t size = message.payload.size();
  if (message.headers.empty() || !headers_) {
    append_msg(outbox_.bytes(), message.subject, subscription.sid_, message.reply, message.payload);
  } else {
    size += message.headers.size();
    append_hmsg(outbox_.bytes(), message.subject, subscription.sid_, message.reply, message.headers,
                message.payload);
  }
  ++out_msgs_;
  out_bytes_ += size;
  ++account_->counters.out_msgs;
  account_->counters.out_bytes += size;
  if (++subscription.delivered_ == subscription.max_) drop(subscription);
  if (!outbox_.appended()) {
    cut_slow_consumer();
  } else if (outbox_.congested() && !outbox_.stuck() && !own && origin.connection_id != 0 &&
             !world_.options.no_fast_producer_stall) {
    world_.accounts.congestion().note_take();
  }
  return true;
}

void Connection::send(std::string_view bytes) {
  if (!open()) return;
  outbox_.bytes().append(bytes);
  if (!outbox_.appended()) cut_slow_consumer();
}

void Connection::send_error(std::string_view text) {
  if (!open()) return;
  append_err(outbox_.bytes(), text);
  if (!outbox_.appended()) cut_slow_consumer();
}

void Connection::send_async_info(InfoKind kind) {
  if (second_info_sent_) send(world_.host.info_line(*this, kind));
}

void Connection::cut_slow_consumer() {
  if (!open()) return;
  ++world_.counters.slow_consumers_pending;
  ++account_->counters.slow_consumers;
  SLUICE_LOG(log_, kWarn, "Slow Consumer Detected: MaxPending exceeded cid={} pending={} limit={}",
             id_, outbox_.pending_bytes(), world_.options.max_pending);
  close(CloseReason::kSlowConsumerPendingBytes, {});
}

void Connection::on_write_deadline() {
  ++world_.counters.slow_consumers_deadline;
  ++account_->counters.slow_consumers;
  SLUICE_LOG(log_, kWarn, "Slow Consumer Detected: WriteDeadline exceeded cid={} pending={}", id_,
             outbox_.pending_bytes());
  close(CloseReason::kSlowConsumerWriteDeadline, {});
}

void Connection::on_congestion(bool congested) {
  if (congested) {
    world_.accounts.congestion().began();
  } else {
    world_.accounts.congestion().ended();
  }
}

// ---------------------------------------------------------------- back-pressure and time

void Connection::pause_reading() {
  if (paused_ || !open()) return;
  paused_ = true;
  ++world_.counters.read_pauses;
  transport_->pause_reading();
  relief_ = world_.accounts.congestion().call_when_relieved([this] { resume_reading(); });
  if (pause_timer_ == nullptr) pause_timer_ = world_.timers.make([this] { resume_reading(); });
  // Our client must see its own PINGs answered in time, however stuck the other one is.
  pause_timer_->start(std::min(world_.options.max_read_pause, ping_interval_ / 2));
}

void Connection::resume_reading() {
  if (!std::exchange(paused_, false) || !open()) return;
  relief_ = Ticket();
  pause_timer_->stop();
  last_in_ = world_.clock.now();  // its bytes waited for us, not we for them
  transport_->resume_reading();
}

void Connection::start_ping_timer(bool first) {
  std::chrono::nanoseconds delay = ping_interval_;
  if (first) {
    delay = std::min<std::chrono::nanoseconds>(delay, kFirstPing);
    const auto fifth = static_cast<uint64_t>(delay.count() / 5);
    if (fifth > 0) delay += std::chrono::nanoseconds(world_.random.below(fifth));
  }
  timer_->start(delay);
}

void Connection::on_timer() {
  switch (waiting_) {
    case Waiting::kLogin:
      ++world_.counters.auth_timeouts;
      SLUICE_LOG(log_, kInfo, "authentication timeout cid={} ip={}", id_, ip_);
      close(CloseReason::kAuthenticationTimeout, "Authentication Timeout");
      return;
    case Waiting::kRefusal:
      close(CloseReason::kAuthenticationFailure, "Authorization Violation");
      return;
    case Waiting::kPings:
      on_ping_tick();
      return;
    case Waiting::kPassword:
      return;  // it is our turn; the line before the worker is bounded
  }
}

void Connection::on_ping_tick() {
  const MonoTime now = world_.clock.now();
  const bool heard = paused_ || now - last_in_ < ping_interval_;
  const bool rtt_due = ping_sent_ == MonoTime::zero() || now - ping_sent_ > kRttInterval;
  if (!heard || rtt_due) {
    if (pings_out_ + 1 > world_.options.ping_max) {
      ++world_.counters.stale_connections;
      close(CloseReason::kStaleConnection, "Stale Connection");
      return;
    }
    ++pings_out_;
    ping_sent_ = now;
    send(kPingLine);
  }
  if (open()) start_ping_timer(false);
}

// ---------------------------------------------------------------- for people

ConnectionInfo Connection::info() const {
  const MonoTime now = world_.clock.now();
  const TlsPeer* tls = transport_->tls();
  return {.cid = id_,
          .ip = ip_,
          .port = port_,
          .kind = kind_,
          .user = std::string(user()),
          .account = account_->name(),
          .issuer_key = identity_ == nullptr ? std::string() : identity_->issuer_key,
          .name_tag = account_->display_name(),
          .tags = identity_ == nullptr ? std::vector<std::string>() : identity_->tags,
          .name = name_,
          .lang = lang_,
          .version = version_,
          .start = start_wall_,
          .last_activity = start_wall_ + (last_in_ - start_).count(),
          .uptime = now - start_,
          .idle = now - last_in_,
          .rtt = rtt_,
          .in_msgs = in_msgs_,
          .in_bytes = in_bytes_,
          .out_msgs = out_msgs_,
          .out_bytes = out_bytes_,
          .pending_bytes = outbox_.pending_bytes(),
          .subscriptions = subscriptions_.size(),
          .websocket = websocket(),
          .tls_version = tls == nullptr ? std::string() : tls->version,
          .tls_cipher_suite = tls == nullptr ? std::string() : tls->cipher,
          .reason = open() ? std::nullopt : std::optional(close_reason_),
          .stop = open() ? 0 : world_.clock.wall()};
}

std::string Connection::client_account_json() const {
  std::string account = account_->name();
  // Account names may hold anything but blanks.
  for (size_t i = 0; i < account.size(); ++i) {
    if (account[i] == '"' || account[i] == '\\') account.insert(i++, 1, '\\');
  }
  if (rtt_.count() == 0) return fmt::format(R"({{"acc":"{}"}})", account);
  return fmt::format(R"({{"acc":"{}","rtt":{}}})", account, rtt_.count());
}

std::vector<SubscriptionInfo> Connection::subscription_infos() const {
  std::vector<SubscriptionInfo> infos;
  infos.reserve(subscriptions_.size());
  for (const auto& [sid, s] : subscriptions_) {
    infos.push_back({.account = account_->name(),
                     .subject = s->subject(),
                     .queue = s->queue(),
                     .sid = s->sid(),
                     .delivered = s->delivered_,
                     .max = s->max_,
                     .cid = id_});
  }
  return infos;
}

std::vector<std::string> Connection::subscribed_subjects() const {
  std::vector<std::string> subjects;
  subjects.reserve(subscriptions_.size());
  for (const auto& [sid, subscription] : subscriptions_)
    subjects.push_back(subscription->subject());
  return subjects;
}

}  // namespace sluice
