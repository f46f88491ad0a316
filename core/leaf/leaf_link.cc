#include "leaf/leaf_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "base/base64.h"
#include "base/check.h"
#include "base/log.h"
#include "crypto/secret.h"
#include "crypto/nkey.h"
#include "crypto/signature.h"
#include "leaf/leaf_credentials.h"
#include "server/version.h"
#include "subject/subject.h"
#include "wire/encoder.h"

namespace sluice {
namespace {

constexpr Logger log_{"leaf"};
constexpr size_t kNonce_bytes = 11;
constexpr std::chrono::seconds kConnectTimeout{2};  ///< spoke: CONNECT → the hub's answer
constexpr std::chrono::seconds kLongWait{30};       ///< after what only a person can mend
constexpr std::chrono::seconds kLoopEcho{3};
constexpr size_t kMaxTheirSubjects = 1'000'000;
constexpr std::string_view kLoopPrefix = "$LDS.";
constexpr std::string_view kDoesNotRead = "the other side does not read";

std::string key_of(std::string_view subject, std::string_view queue) {
  std::string key(subject);
  if (!queue.empty()) key.append(" ").append(queue);
  return key;
}

bool covered_by_any(const std::vector<std::string>& filters, std::string_view subject) {
  return std::ranges::any_of(
      filters, [subject](const std::string& one) { return is_subset(subject, one); });
}

std::pair<std::string, uint16_t> split_address(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {address, 0};
  return {address.substr(0, colon),
          static_cast<uint16_t>(std::strtoul(address.c_str() + colon + 1, nullptr, 10))};
}

/// As clients' ends are told of.
CloseReason reason_of(const Error& why) {
  if (why.detail == "Server Shutdown") return CloseReason::kServerShutdown;
  if (why.code == Errc::kClosed) return CloseReason::kClientClosed;
  if (why.code == Errc::kTimeout) return CloseReason::kStaleConnection;
  if (why.code == Errc::kDenied) return CloseReason::kAuthenticationExpired;
  if (why.code == Errc::kCorrupt) return CloseReason::kParseError;
  if (why.code == Errc::kIo)
    return why.detail == kDoesNotRead ? CloseReason::kSlowConsumerPendingBytes : CloseReason::kReadError;
  return CloseReason::kProtocolViolation;
}

}  // namespace

LeafSubscription::LeafSubscription(LeafLink& link, uint64_t id, std::string_view subject,
                                   std::string_view queue, uint32_t weight)
    : Subscription(id, subject, queue), link_(link) {
  set_remote_weight(weight);
}

bool LeafSubscription::take(const Message& message, const Origin& origin) {
  return link_.take(*this, message, origin);
}

bool LeafSubscription::congested() const { return link_.congested(); }

LeafLink::LeafLink(LeafWorld& world, std::unique_ptr<Transport> transport)
    : world_(world),
      id_(world.server.take_connection_id()),
      transport_(std::move(transport)),
      outbox_(*transport_, world.server.outbox_options(), world.env.timers, world.server.flushes(),
              *this),
      parser_(world.server.options().max_payload),
      state_(State::kAwaitConnect),
      nonce_(base64url_encode(unguessable_bytes(kNonce_bytes))),
      peer_ip_(split_address(transport_->peer_address()).first),
      start_(world.env.clock.wall()),
      timer_(world.env.timers.make([this] { on_timer(); })) {}

LeafLink::LeafLink(LeafWorld& world, std::unique_ptr<UpgradableTransport> transport,
                   const LeafRemoteOptions& remote, Account& account, LeafUrl url)
    : world_(world),
      id_(world.server.take_connection_id()),
      transport_(std::move(transport)),
      upgradable_(static_cast<UpgradableTransport*>(transport_.get())),
      outbox_(*transport_, world.server.outbox_options(), world.env.timers, world.server.flushes(),
              *this),
      parser_(world.server.options().max_payload),
      state_(State::kAwaitInfo),
      remote_(&remote),
      url_(std::move(url)),
      account_(&account),
      deny_in_(remote.deny_imports),
      deny_out_(remote.deny_exports),
      peer_ip_(split_address(transport_->peer_address()).first),
      start_(world.env.clock.wall()),
      timer_(world.env.timers.make([this] { on_timer(); })) {}

LeafLink::~LeafLink() {
  SLUICE_CHECK(closed());
  *self_ = nullptr;
}

void LeafLink::start() {
  if (is_spoke()) {
    timer_->start(remote_->first_info_timeout);
  } else {
    send(make_info(false));
    timer_->start(world_.options.auth_timeout);
  }
  transport_->start(*this);
  if (is_spoke() && remote_->tls_first) begin_tls();
}

void LeafLink::begin_tls() {
  const auto context = make_tls_client_context(remote_->tls_options);
  if (!context) return close(context.error(), kLongWait);
  upgradable_->begin_tls(*context, url_.host);
}

void LeafLink::close(const Error& why, std::chrono::nanoseconds wait) {
  if (closed()) return;
  const bool was_open = std::exchange(state_, State::kClosed) == State::kOpen;
  timer_->stop();
  if (pause_timer_ != nullptr) pause_timer_->stop();
  if (loop_timer_ != nullptr) loop_timer_->stop();
  if (expiry_timer_ != nullptr) expiry_timer_->stop();
  relief_ = Ticket();
  if (observing_) account_->router().stop_observing(*this);
  for (const auto& [key, subscription] : std::exchange(theirs_, {}))
    account_->router().remove(*subscription);
  if (account_ != nullptr) account_->router().forget(*this);
  pending_.clear();
  if (counted_) --account_->leaf_connections;
  if (outbox_.congested()) world_.server.accounts().congestion().ended();
  if (was_open) ++world_.counters.lost;
  outbox_.stop(why.code != Errc::kClosed && why.code != Errc::kIo);
  transport_->close(why.code != Errc::kClosed && why.code != Errc::kIo);
  SLUICE_LOG(log_, kInfo, "leaf link closed lid={} remote={} account={} why=\"{}\"", id_,
             remote_name_, account_ == nullptr ? "" : account_->name(), why.detail);
  if (counted_) world_.server.events().link_closed(event(), reason_of(why));
  world_.host.on_link_closed(*this, why, wait);
}

// ---------------------------------------------------------------- in

void LeafLink::on_bytes(std::string_view bytes) {
  heard_ = true;
  parser_.feed(bytes);
  // An answer of ours may close or pause us, and reading goes on where it is.
  if (!reading_) read_operations();
}

void LeafLink::read_operations() {
  const auto self = self_;
  reading_ = true;
  while (!closed() && state_ != State::kAwaitPassword) {
    LeafOp op;
    const Result<bool> got = parser_.next(op);
    if (!got) {
      ++world_.counters.protocol_errors;
      send_error(got.error().code == Errc::kFull ? "Maximum Payload Violation" : "Unknown Protocol Operation");
      close(got.error());
      break;
    }
    if (!*got) break;
    on_operation(op);
    if (*self == nullptr) return;
  }
  reading_ = false;
}

void LeafLink::on_operation(const LeafOp& op) {
  switch (op.kind) {
    case LeafOpKind::kInfo:
      return on_info(op.text);
    case LeafOpKind::kConnect:
      return on_connect(op.text);
    case LeafOpKind::kPing:
      return send(kPongLine);
    case LeafOpKind::kPong:
      if (pings_out_ > 0) rtt_ = world_.env.clock.now() - ping_sent_;
      pings_out_ = 0;
      return;
    case LeafOpKind::kError:
      return on_far_error(op.text);
    case LeafOpKind::kSubscribe:
    case LeafOpKind::kUnsubscribe:
    case LeafOpKind::kMessage:
      break;
  }
  if (!open()) {
    ++world_.counters.protocol_errors;
    return close({Errc::kCorrupt, 0, "traffic before the session is open"});
  }
  if (op.kind == LeafOpKind::kMessage) return on_message(op);
  if (op.kind == LeafOpKind::kSubscribe) return on_subscribe(op);
  on_unsubscribe(op);
}

// ---------------------------------------------------------------- the spoke's way in

void LeafLink::on_info(std::string_view json) {
  const auto info = parse_leaf_info(json);
  if (!info) return close(info.error());
  if (!is_spoke()) return;  // a spoke that wants compression; silence means that there is none
  if (state_ == State::kAwaitInfo) return on_first_info(*info);
  if (state_ == State::kAwaitAccept && info->connect_info) begin(*info);
}

void LeafLink::on_first_info(const LeafInfo& info) {
  if (!info.leaf || info.client_id == 0)
    return close({Errc::kRefused, 0, "the other side is no listener for leaf nodes"}, kLongWait);
  remote_name_ = info.server_name;
  remote_id_ = info.server_id;
  remote_domain_ = info.domain;
  if (remote_id_ == world_.server.id())
    return close({Errc::kRefused, 0, "the other side is this server itself"}, kLongWait);
  remote_max_payload_ = info.max_payload;
  remote_traces_ = info.protocol >= kTracingLeafProtocol;
  if (!remote_->tls_first && (info.tls_required || remote_->tls || url_.tls)) {
    if (!info.tls_required) return close({Errc::kDenied, 0, "the hub offers no TLS"}, kLongWait);
    begin_tls();
    if (closed()) return;
  }
  LeafConnect connect;
  connect.version = kCompatVersion;
  connect.server_id = world_.server.id();
  connect.name = world_.server.name();
  connect.domain = world_.server.options().domain;
  connect.jetstream = world_.server.options().jetstream;
  connect.remote_account = account_->name();
  if (Status done = sign(info, connect); !done) return close(done.error(), kLongWait);
  state_ = State::kAwaitAccept;
  timer_->start(kConnectTimeout);
  send(make_leaf_connect(connect));
  // Older hubs do not answer CONNECT: then the first INFO has told everything.
  if (!info.info_on_connect) begin(info);
}

Status LeafLink::sign(const LeafInfo& info, LeafConnect& connect) {
  std::string seed_text = remote_->user_seed;
  if (!remote_->credentials_file.empty()) {
    auto credentials = read_leaf_credentials(world_.env.disk, remote_->credentials_file);
    if (!credentials) return std::unexpected(credentials.error());
    connect.jwt = std::move(credentials->jwt);
    seed_text = std::move(credentials->seed);
  }
  if (!seed_text.empty()) {
    const auto seed = decode_user_seed(seed_text);
    if (!seed) return fail(Errc::kInvalidArgument, "the leaf node's seed is no user seed");
    const Ed25519Signature signature = sign_ed25519(*seed, info.nonce);
    connect.sig = base64url_encode(
        {reinterpret_cast<const char*>(signature.data()), signature.size()});
    if (connect.jwt.empty()) connect.nkey = encode_nkey(NkeyKind::kUser, ed25519_public_key(*seed));
    return {};
  }
  if (url_.password.empty()) {
    connect.auth_token = url_.user;
  } else {
    connect.user = url_.user;
    connect.pass = url_.password;
  }
  return {};
}

// ---------------------------------------------------------------- the hub's way in

void LeafLink::on_connect(std::string_view json) {
  const auto connect = parse_leaf_connect(json);
  if (is_spoke() || state_ != State::kAwaitConnect || !connect) {
    ++world_.counters.protocol_errors;
    return close({Errc::kCorrupt, 0, "CONNECT is not expected or no good"});
  }
  if (!connect->lang.empty()) {
    send_error("attempted to connect to leaf node port");
    return close({Errc::kRefused, 0, "a client on the leaf node port"});
  }
  if (connect->is_hub) {
    send_error("this server does not take the role of a spoke on its leaf node port");
    return close({Errc::kUnsupported, 0, "the dialling side wants to be the hub"});
  }
  remote_name_ = connect->name;
  remote_id_ = connect->server_id;
  remote_domain_ = connect->domain;
  remote_account_ = connect->remote_account;
  remote_user_ = connect->user;
  remote_version_ = connect->version;
  remote_traces_ = connect->protocol >= kTracingLeafProtocol;
  if (!remote_id_.empty() && remote_id_ == world_.server.id()) {
    send_error("Loop detected: this server itself");
    return close({Errc::kRefused, 0, "the other side is this server itself"});
  }
  if (!world_.users.empty()) return decide(world_.users.check(connect->user, connect->pass));
  decide(world_.server.authenticator().check({.user = connect->user,
                                                           .password = connect->pass,
                                                           .token = connect->auth_token,
                                                           .nkey = connect->nkey,
                                                           .signature = connect->sig,
                                                           .jwt = connect->jwt,
                                                           .nonce = nonce_,
                                                           .kind = ConnectionKind::kLeaf,
                                                           .ip = split_address(transport_->peer_address()).first,
                                                           .tls = transport_->tls()}));
}

/// What the answer refers to must live until this returns.
void LeafLink::decide(AuthAnswer answer) {
  if (answer.bcrypt.empty()) {
    if (answer.identity == nullptr) return refuse("Authorization Violation");
    return accept_user(std::move(answer.identity));
  }
  state_ = State::kAwaitPassword;
  const bool taken = world_.server.passwords().check(
      std::move(answer.bcrypt), std::string(answer.secret),
      [self = self_, identity = std::move(answer.identity)](bool matches) mutable {
        if (*self == nullptr || (*self)->closed()) return;
        LeafLink& link = **self;
        link.state_ = State::kAwaitConnect;
        if (!matches || identity == nullptr) return link.refuse("Authorization Violation");
        link.accept_user(std::move(identity));
        if (*self != nullptr && !link.closed()) link.read_operations();
      });
  if (!taken) refuse("Authorization Violation");
}

void LeafLink::refuse(const char* why) {
  ++world_.counters.auth_failures;
  SLUICE_LOG(log_, kWarn, "leaf node refused lid={} peer={} why=\"{}\"", id_,
             transport_->peer_address(), why);
  world_.server.events().link_refused(event());
  send_error(why);
  close({Errc::kDenied, 0, why});
}

void LeafLink::accept_user(IdentityPtr identity) {
  account_ = identity->account;
  identity_ = std::move(identity);
  const int64_t most = account_->options().max_leafnodes;
  if (most >= 0 && account_->leaf_connections >= static_cast<size_t>(most))
    return refuse("maximum account active connections exceeded");
  if (identity_->permissions != nullptr)
    permissions_ = std::make_unique<PermissionState>(identity_->permissions);
  if (identity_->expires != 0) {
    expiry_timer_ = world_.env.timers.make([this] {
      send_error(identity_->expires_with_account ? "Account Authentication Expired"
                                                 : "User Authentication Expired");
      close({Errc::kDenied, 0, "Authentication Expired"});
    });
    expiry_timer_->start(std::chrono::nanoseconds(identity_->expires - world_.env.clock.wall()));
  }
  send(make_info(true));
  begin({});
}

std::string LeafLink::make_info(bool accepted) const {
  const ServerOptions& server = world_.server.options();
  LeafInfo info;
  info.server_id = world_.server.id();
  info.server_name = world_.server.name();
  info.version = kCompatVersion;
  info.host = world_.options.host;
  info.port = world_.port;
  info.domain = server.domain;
  info.nonce = nonce_;
  info.client_id = id_;
  info.max_payload = server.max_payload;
  info.auth_required = world_.server.auth_required() || !world_.users.empty();
  info.tls_required = world_.tls;
  info.tls_verify = world_.tls_verify;
  info.jetstream = server.jetstream;
  if (accepted) {
    info.connect_info = true;
    info.remote_account = account_->name();
    if (identity_->permissions != nullptr) {
      info.permissions = identity_->permissions->options();
      info.restricted = true;
    }
  }
  return make_leaf_info(info);
}

// ---------------------------------------------------------------- open

void LeafLink::begin(const LeafInfo& theirs) {
  if (is_spoke() && theirs.restricted) {
    auto rules = Permissions::make(theirs.permissions);
    if (!rules) return close(rules.error(), kLongWait);
    permissions_ = std::make_unique<PermissionState>(*rules);
  }
  state_ = State::kOpen;
  ++world_.counters.connected;
  ++account_->leaf_connections;
  counted_ = true;
  deny_domain_subjects();
  timer_->start(world_.server.options().ping_interval);
  SLUICE_LOG(log_, kInfo, "leaf link open lid={} remote={} account={} role={}", id_, remote_name_,
             account_->name(), is_spoke() ? "spoke" : "hub");
  world_.server.events().link_opened(event(), is_spoke());
  if (closed()) return;
  world_.host.on_link_open(*this);
  (void)world_.host.loop_subject(*account_);  // is there from now on
  account_->router().each_subscription(
      [this](const Subscription& one) {
        if (concerns_us(one)) ours_[key_of(one.subject(), one.queue())].count += std::max(1u, one.remote_weight());
      });
  account_->router().observe(*this);
  observing_ = true;
  for (const auto& [key, interest] : ours_) tell_interest(key, interest.count, true);
}

/// The un-prefixed API of each side stays with it; the other is reached as $JS.<domain>.API,
/// ours as $SLUICE.<domain>.API.
void LeafLink::deny_domain_subjects() {
  const ServerOptions& server = world_.server.options();
  if (!server.jetstream || account_->is_system()) return;
  if (server.domain == remote_domain_) {
    SLUICE_LOG(log_, kWarn,
               "both sides of a leaf link have the same JetStream domain: each keeps to itself "
               "remote={} domain={}", remote_name_, server.domain);
  }
  for (const char* subject : {"$JS.API.>", "$SLUICE.API.>", "$KV.>", "$OBJ.>"}) {
    deny_in_.emplace_back(subject);
    deny_out_.emplace_back(subject);
  }
}

bool LeafLink::concerns_us(const Subscription& subscription) const {
  if (subscription.connection_id() == id_) return false;
  // What one hub wants is no business of another.
  if (is_spoke() && subscription.remote_weight() != 0 &&
      world_.host.is_hub(subscription.connection_id())) {
    return false;
  }
  if (covered_by_any(deny_in_, subscription.subject())) return false;
  return !(is_spoke() && permissions_ != nullptr) ||
         permissions_->rules().may_subscribe(subscription.subject(), subscription.queue());
}

void LeafLink::on_added(const Subscription& subscription) {
  if (!concerns_us(subscription)) return;
  const std::string key = key_of(subscription.subject(), subscription.queue());
  Interest& interest = ours_[key];
  const bool first = interest.count == 0;
  interest.count += std::max(1u, subscription.remote_weight());
  if (first || !subscription.queue().empty()) tell_interest(key, interest.count, true);
}

void LeafLink::on_removed(const Subscription& subscription) {
  if (!concerns_us(subscription)) return;
  const std::string key = key_of(subscription.subject(), subscription.queue());
  const auto found = ours_.find(key);
  if (found == ours_.end()) return;
  Interest& interest = found->second;
  interest.count -= std::min(interest.count, std::max(1u, subscription.remote_weight()));
  const uint32_t left = interest.count;
  if (left == 0) ours_.erase(found);
  if (left == 0 || !subscription.queue().empty()) tell_interest(key, left, left != 0);
}

void LeafLink::tell_interest(const std::string& key, uint32_t count, bool more) {
  if (closed()) return;
  const std::string_view all = key;
  const size_t blank = std::min(all.find(' '), all.size());
  const std::string_view subject = all.substr(0, blank);
  const std::string_view queue = all.substr(std::min(blank + 1, all.size()));
  if (more) {
    append_leaf_subscribe(outbox_.bytes(), subject, queue, count);
  } else {
    append_leaf_unsubscribe(outbox_.bytes(), subject, queue);
  }
  if (outbox_.appended()) return;
  // The router is in the middle of a change: not now.
  world_.env.executor.post([self = self_] {
    if (*self != nullptr) (*self)->cut_slow();
  });
}

void LeafLink::on_loop() {
  if (!looped_ || !open()) return;
  if (LeafLink* last = world_.host.link_to_cut(*this); last != nullptr) return last->cut_loop();
  if (loop_timer_ == nullptr) loop_timer_ = world_.env.timers.make([this] { on_loop(); });
  loop_timer_->start(kLoopEcho);
}

void LeafLink::cut_loop() {
  ++world_.counters.loops;
  send_error(fmt::format(
      "Loop detected for leafnode account=\"{}\". Delaying attempt to reconnect for 30s",
      account_->name()));
  close({Errc::kRefused, 0, "loop detected"}, kLongWait);
}

void LeafLink::on_subscribe(const LeafOp& op) {
  if (op.subject.starts_with(kLoopPrefix) && op.subject == world_.host.loop_subject(*account_)) {
    looped_ = true;
    return on_loop();
  }
  if (covered_by_any(deny_out_, op.subject)) return;
  if (!is_spoke() && permissions_ != nullptr &&
      !permissions_->rules().may_subscribe(op.subject, op.queue)) {
    ++world_.counters.denied_messages;
    return;
  }
  const std::string key = key_of(op.subject, op.queue);
  const auto found = theirs_.find(key);
  if (found != theirs_.end() && op.queue.empty()) return;
  if (theirs_.size() >= kMaxTheirSubjects)
    return close({Errc::kFull, 0, "the other side wants too many subjects"}, kLongWait);
  Subscription* added = account_->router().add(
      std::make_unique<LeafSubscription>(*this, id_, op.subject, op.queue, op.weight));
  if (added == nullptr) return send_error("Invalid Subject");
  auto* subscription = static_cast<LeafSubscription*>(added);
  if (found != theirs_.end()) {  // another weight: the new one first, so that nobody sees a gap
    account_->router().remove(*std::exchange(found->second, subscription));
  } else {
    theirs_.emplace(key, subscription);
  }
}

void LeafLink::on_unsubscribe(const LeafOp& op) {
  if (op.subject == world_.host.loop_subject(*account_)) looped_ = false;
  const auto found = theirs_.find(key_of(op.subject, op.queue));
  if (found == theirs_.end()) return;
  LeafSubscription* subscription = found->second;
  theirs_.erase(found);
  account_->router().remove(*subscription);
}

void LeafLink::on_far_error(std::string_view text) {
  SLUICE_LOG(log_, kWarn, "error from the other side lid={} remote={} text=\"{}\"", id_,
             remote_name_, text);
  const bool lasting = text.starts_with("Loop detected") ||
                       text.starts_with("Permissions Violation") ||
                       text.find("same cluster name") != text.npos;
  if (text.starts_with("Loop detected")) ++world_.counters.loops;
  if (lasting || !open()) close({Errc::kRefused, 0, std::string(text)}, lasting ? kLongWait : std::chrono::seconds(0));
}

// ---------------------------------------------------------------- out

void LeafLink::send(std::string_view bytes) {
  if (closed()) return;
  outbox_.bytes().append(bytes);
  if (!outbox_.appended()) cut_slow();
}

void LeafLink::send_error(std::string_view text) {
  if (closed()) return;
  append_err(outbox_.bytes(), text);
}

void LeafLink::cut_slow() {
  if (closed()) return;
  ++world_.counters.slow;
  SLUICE_LOG(log_, kWarn, "leaf link too slow lid={} remote={} pending={}", id_, remote_name_,
             outbox_.pending_bytes());
  close({Errc::kIo, 0, std::string(kDoesNotRead)});
}

void LeafLink::on_write_deadline() { cut_slow(); }

void LeafLink::on_congestion(bool congested) {
  Congestion& congestion = world_.server.accounts().congestion();
  if (congested) {
    congestion.began();
  } else {
    congestion.ended();
  }
}

void LeafLink::on_stuck() { world_.server.accounts().congestion().wake_waiting(); }

void LeafLink::pause_reading() {
  if (std::exchange(paused_, true)) return;
  transport_->pause_reading();
  const auto resume = [this] {
    if (!std::exchange(paused_, false) || closed()) return;
    relief_ = Ticket();
    pause_timer_->stop();
    transport_->resume_reading();
  };
  relief_ = world_.server.accounts().congestion().call_when_relieved(resume);
  if (pause_timer_ == nullptr) pause_timer_ = world_.env.timers.make(resume);
  const ServerOptions& server = world_.server.options();
  pause_timer_->start(std::min(server.max_read_pause, server.ping_interval / 2));
}

// ---------------------------------------------------------------- time, people

void LeafLink::on_timer() {
  if (!open()) return close({Errc::kTimeout, 0, "no session in time"});
  timer_->start(world_.server.options().ping_interval);
  if (std::exchange(heard_, false) && rtt_.count() != 0) return;
  if (pings_out_ + 1 > world_.server.options().ping_max) {
    send_error("Stale Connection");
    return close({Errc::kTimeout, 0, "stale"});
  }
  ++pings_out_;
  ping_sent_ = world_.env.clock.now();
  send(kPingLine);
}

LinkEvent LeafLink::event() const {
  LinkEvent event{.account = account_, .id = id_, .start = start_};
  event.ip = peer_ip_;
  if (!is_spoke()) {
    event.user = remote_user_;
    event.name = remote_name_;
    event.version = remote_version_;
  }
  event.rtt = rtt_;
  event.in_msgs = in_msgs_;
  event.in_bytes = in_bytes_;
  event.out_msgs = out_msgs_;
  event.out_bytes = out_bytes_;
  return event;
}

LeafFigures LeafLink::figures() const {
  LeafFigures figures;
  figures.id = id_;
  figures.name = remote_name_;
  figures.is_spoke = is_spoke();
  figures.account = account_ == nullptr ? "" : account_->name();
  std::tie(figures.ip, figures.port) = split_address(transport_->peer_address());
  figures.rtt = rtt_;
  figures.in_msgs = in_msgs_;
  figures.in_bytes = in_bytes_;
  figures.out_msgs = out_msgs_;
  figures.out_bytes = out_bytes_;
  for (const auto& [key, subscription] : theirs_) figures.subjects.push_back(subscription->subject());
  return figures;
}

}  // namespace sluice
