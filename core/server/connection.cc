#include "server/connection.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "subject/subject.h"
#include "wire/encoder.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};
constexpr std::chrono::seconds kFirstPing{2};
constexpr std::chrono::hours kRttInterval{1};
/// A queue name that nats-server keeps for itself.
constexpr std::string_view kSystemQueue = "_sys_";

/// Replies through which the JetStream API and service imports would be forged.
bool is_reserved_reply(std::string_view reply) {
  return reply.starts_with("_R_.") || reply.starts_with("_GR_.") || reply.starts_with("$JS.ACK.");
}

bool is_reserved_subject(std::string_view subject) {
  if (subject.front() == '_') return subject.starts_with("_GR_.");
  if (subject.front() == '$') return subject.starts_with("$NRG.");
  return false;
}

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

Connection::Connection(ConnectionWorld& world, uint64_t id, std::unique_ptr<Transport> transport)
    : world_(world),
      id_(id),
      transport_(std::move(transport)),
      outbox_(*transport_, world.outbox, world.timers, world.flushes, *this),
      parser_({.max_control_line = world.options.max_control_line,
               .max_payload = world.options.max_payload,
               .headers = false,
               .connect_first = world.authenticator.required()}),
      user_(world.authenticator.default_user()),
      start_wall_(world.clock.wall()),
      start_(world.clock.now()),
      last_in_(start_),
      timer_(world.timers.make([this] { on_timer(); })) {
  std::tie(ip_, port_) = split_address(transport_->peer_address());
}

Connection::~Connection() { SLUICE_CHECK(!open()); }

void Connection::start() {
  send(world_.host.info_line(*this, InfoKind::kGreeting));
  timer_->start(parser_.limits().connect_first ? world_.options.auth_timeout
                                               : world_.options.ping_interval);
  transport_->start(*this);
}

void Connection::close(CloseReason reason, std::string_view error_text) {
  if (!open()) return;
  state_ = State::kClosed;
  close_reason_ = reason;
  timer_->stop();
  if (pause_timer_ != nullptr) pause_timer_->stop();
  relief_ = Ticket();
  drop_all_subscriptions();
  if (outbox_.congested()) world_.router.congestion_ended();
  if (!error_text.empty()) append_err(outbox_.bytes(), error_text);
  const bool peer_reads = reason != CloseReason::kSlowConsumerPendingBytes &&
                          reason != CloseReason::kSlowConsumerWriteDeadline &&
                          reason != CloseReason::kClientClosed && reason != CloseReason::kReadError;
  outbox_.stop(peer_reads);
  transport_->close(peer_reads);
  SLUICE_LOG(log_, kDebug, "connection closed cid={} reason={}", id_, to_string(reason));
  world_.host.on_connection_closed(*this);
}

// ---------------------------------------------------------------- in

void Connection::on_bytes(std::string_view bytes) {
  parser_.feed(bytes, *this);
  if (active_) {
    active_ = false;
    last_in_ = world_.clock.now();
  }
}

void Connection::on_error(WireError error) {
  if (error == WireError::kNotConnect) {
    ++world_.counters.auth_failures;
  } else {
    ++world_.counters.protocol_errors;
  }
  close(close_reason_of(error), error_text(error));
}

void Connection::on_closed(const Error& why) {
  close(why.code == Errc::kClosed ? CloseReason::kClientClosed : CloseReason::kReadError, {});
}

bool Connection::on_connect(std::string_view json) {
  active_ = true;
  const Result<ConnectOptions> options = parse_connect(json);
  if (!options) {
    ++world_.counters.protocol_errors;
    close(CloseReason::kProtocolViolation, {});
    return false;
  }
  return accept_connect(*options);
}

bool Connection::accept_connect(const ConnectOptions& options) {
  drop_all_subscriptions();  // those of a session before, under another name perhaps
  const auto user = world_.authenticator.check(
      {.user = options.user, .password = options.pass, .token = options.auth_token});
  if (!user || !options.account.empty() || options.new_account) {
    ++world_.counters.auth_failures;
    SLUICE_LOG(log_, kWarn, "authentication failed cid={} ip={} name_given={}", id_, ip_,
               !options.user.empty());
    close(CloseReason::kAuthenticationFailure, "Authorization Violation");
    return false;
  }
  if (options.protocol < 0 || options.protocol > 1) {
    close(CloseReason::kBadClientProtocolVersion, "invalid client protocol");
    return false;
  }
  if (options.no_responders && !options.headers) {
    close(CloseReason::kNoRespondersRequiresHeaders, "no responders requires headers support");
    return false;
  }
  verbose_ = options.verbose;
  pedantic_ = options.pedantic;
  echo_ = options.echo;
  headers_ = options.headers;
  no_responders_ = options.no_responders;
  async_info_ = options.protocol >= 1;
  user_ = *user;
  name_ = options.name;
  lang_ = options.lang;
  version_ = options.version;
  parser_.limits().headers = headers_;
  parser_.limits().connect_first = false;
  if (state_ == State::kGreeted) {
    state_ = State::kConnected;
    start_ping_timer(true);
  }
  if (verbose_) send(kOkLine);
  return open();
}

bool Connection::on_pub(const PubOp& op) {
  active_ = true;
  ++in_msgs_;
  in_bytes_ += op.message.size();
  ++world_.counters.in_msgs;
  world_.counters.in_bytes += op.message.size();
  if (pedantic_ && !is_valid_literal(op.subject)) send_error("Invalid Publish Subject");
  if (refuse_publish(op)) return open();
  if (verbose_) send(kOkLine);
  const Message message{
      .subject = op.subject, .reply = op.reply, .headers = op.header(), .payload = op.payload()};
  const size_t taken = world_.router.publish(message, Origin{id_});
  if (taken == 0 && no_responders_ && !op.reply.empty()) answer_no_responders(op);
  if (world_.router.consume_congested_take()) pause_reading();
  return open();
}

bool Connection::refuse_publish(const PubOp& op) {
  if (is_reserved_subject(op.subject)) {
    send_error(fmt::format("Permissions Violation for Publish to \"{}\"", op.subject));
    return true;
  }
  if (!op.reply.empty() && is_reserved_reply(op.reply)) {
    send_error(fmt::format("Permissions Violation for Publish with Reply of \"{}\"", op.reply));
    return true;
  }
  return false;
}

/// Goes straight to the requester: neither its subscription nor the statistics count it.
void Connection::answer_no_responders(const PubOp& op) {
  const Subscription* inbox = world_.router.find_plain(op.reply, id_);
  if (inbox == nullptr || !open()) return;
  append_no_responders(outbox_.bytes(), op.reply,
                       static_cast<const ClientSubscription*>(inbox)->sid(), op.subject);
  if (!outbox_.appended()) cut_slow_consumer();
}

bool Connection::on_sub(const SubOp& op) {
  active_ = true;
  if (op.queue == kSystemQueue) {
    send_error(fmt::format("Permissions Violation for Subscription to \"{}\" using queue \"{}\"",
                           op.subject, op.queue));
    return open();
  }
  const size_t limit = world_.options.max_subscriptions;
  if (limit != 0 && subscriptions_.size() >= limit) {
    ++world_.counters.refused_subscriptions;
    send_error("maximum subscriptions exceeded");
    return open();
  }
  if (!subscriptions_.contains(op.sid)) {
    Subscription* added = world_.router.add(std::make_unique<ClientSubscription>(*this, op));
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
  world_.router.remove(subscription);
}

void Connection::drop_all_subscriptions() {
  for (const auto& [sid, subscription] : std::exchange(subscriptions_, {})) {
    world_.router.remove(*subscription);
  }
}

// ---------------------------------------------------------------- out

bool Connection::take(ClientSubscription& subscription, const Message& message,
                      const Origin& origin) {
  const bool own = origin.connection_id == id_;
  if (own && !echo_) return false;
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
  ++world_.counters.out_msgs;
  world_.counters.out_bytes += size;
  if (++subscription.delivered_ == subscription.max_) drop(subscription);
  if (!outbox_.appended()) {
    cut_slow_consumer();
  } else if (outbox_.congested() && !outbox_.stuck() && !own && origin.connection_id != 0) {
    world_.router.note_congested_take();
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
  SLUICE_LOG(log_, kWarn, "Slow Consumer Detected: MaxPending exceeded cid={} pending={} limit={}",
             id_, outbox_.pending_bytes(), world_.options.max_pending);
  close(CloseReason::kSlowConsumerPendingBytes, {});
}

void Connection::on_write_deadline() {
  ++world_.counters.slow_consumers_deadline;
  SLUICE_LOG(log_, kWarn, "Slow Consumer Detected: WriteDeadline exceeded cid={} pending={}", id_,
             outbox_.pending_bytes());
  close(CloseReason::kSlowConsumerWriteDeadline, {});
}

void Connection::on_congestion(bool congested) {
  if (congested) {
    world_.router.congestion_began();
  } else {
    world_.router.congestion_ended();
  }
}

// ---------------------------------------------------------------- back-pressure and time

void Connection::pause_reading() {
  if (paused_ || !open()) return;
  paused_ = true;
  ++world_.counters.read_pauses;
  transport_->pause_reading();
  relief_ = world_.router.call_when_relieved([this] { resume_reading(); });
  if (pause_timer_ == nullptr) pause_timer_ = world_.timers.make([this] { resume_reading(); });
  // Our client must see its own PINGs answered in time, however stuck the other one is.
  pause_timer_->start(std::min(world_.options.max_read_pause, world_.options.ping_interval / 2));
}

void Connection::resume_reading() {
  if (!std::exchange(paused_, false) || !open()) return;
  relief_ = Ticket();
  pause_timer_->stop();
  last_in_ = world_.clock.now();  // its bytes waited for us, not we for them
  transport_->resume_reading();
}

void Connection::start_ping_timer(bool first) {
  std::chrono::nanoseconds delay = world_.options.ping_interval;
  if (first) {
    delay = std::min<std::chrono::nanoseconds>(delay, kFirstPing);
    const auto fifth = static_cast<uint64_t>(delay.count() / 5);
    if (fifth > 0) delay += std::chrono::nanoseconds(world_.random.below(fifth));
  }
  timer_->start(delay);
}

void Connection::on_timer() {
  if (parser_.limits().connect_first) {
    ++world_.counters.auth_timeouts;
    SLUICE_LOG(log_, kInfo, "authentication timeout cid={} ip={}", id_, ip_);
    close(CloseReason::kAuthenticationTimeout, "Authentication Timeout");
    return;
  }
  on_ping_tick();
}

void Connection::on_ping_tick() {
  const MonoTime now = world_.clock.now();
  const bool heard = paused_ || now - last_in_ < world_.options.ping_interval;
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
  return {.cid = id_,
          .ip = ip_,
          .port = port_,
          .user = user_,
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
          .reason = open() ? std::nullopt : std::optional(close_reason_),
          .stop = open() ? 0 : world_.clock.wall()};
}

std::vector<std::string> Connection::subscribed_subjects() const {
  std::vector<std::string> subjects;
  subjects.reserve(subscriptions_.size());
  for (const auto& [sid, subscription] : subscriptions_)
    subjects.push_back(subscription->subject());
  return subjects;
}

}  // namespace sluice
