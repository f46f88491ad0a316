// A connection's way in: CONNECT, the check of its secret, the account and the user that it becomes.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "server/connection.h"
#include "wire/encoder.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};

}  // namespace

bool Connection::log_in(const ConnectOptions& options) {
  drop_all_subscriptions();  // those of a session before, under another name perhaps
  if (!options.account.empty() || options.new_account) return refuse(options);
  AuthAnswer answer = world_.authenticator.check({.user = options.user,
                                                  .password = options.pass,
                                                  .token = options.auth_token,
                                                  .nkey = options.nkey,
                                                  .signature = options.sig,
                                                  .jwt = options.jwt,
                                                  .nonce = nonce_,
                                                  .kind = kind_,
                                                  .ip = ip_,
                                                  .tls = transport_->tls()});
  if (!answer.bcrypt.empty()) return check_password(options, std::move(answer));
  if (answer.identity == nullptr) return refuse(options);
  return accept_connect(options, std::move(answer.identity));
}

/// Nothing of the client is read until the worker has told.
bool Connection::check_password(const ConnectOptions& options, AuthAnswer answer) {
  login_ = std::make_unique<Login>(Login{options, std::move(answer.identity), {}});
  if (self_ == nullptr) self_ = std::make_shared<Connection*>(this);
  const bool taken = world_.passwords.check(
      std::move(answer.bcrypt), std::string(answer.secret), [self = self_](bool matches) {
        if (*self != nullptr && (*self)->open()) (*self)->on_password_checked(matches);
      });
  if (!taken) {
    login_.reset();
    SLUICE_LOG(log_, kWarn, "refused, too many passwords are being checked cid={} ip={}", id_, ip_);
    return refuse(options);
  }
  waiting_ = Waiting::kPassword;
  timer_->stop();
  transport_->pause_reading();
  return false;
}

void Connection::on_password_checked(bool matches) {
  const std::unique_ptr<Login> login = std::move(login_);
  const bool allowed = matches && login->identity != nullptr;
  if (!(allowed ? accept_connect(login->options, login->identity) : refuse(login->options))) return;
  if (!paused_) transport_->resume_reading();
  if (login->held.empty()) return;
  constexpr size_t kPadding_bytes = 64;  // as the transport's blocks have it
  login->held.reserve(login->held.size() + kPadding_bytes);
  on_bytes(login->held);
}

bool Connection::refuse(const ConnectOptions& options) {
  ++world_.counters.auth_failures;
  SLUICE_LOG(log_, kWarn, "authentication failed cid={} ip={} name_given={}", id_, ip_,
             !options.user.empty());
  name_ = options.name;
  lang_ = options.lang;
  version_ = options.version;
  world_.host.on_connection_refused(*this, options.user);
  const auto delay = world_.auth_failures.note(ip_, world_.clock.now());
  if (delay.count() == 0) {
    close(CloseReason::kAuthenticationFailure, "Authorization Violation");
    return false;
  }
  waiting_ = Waiting::kRefusal;
  transport_->pause_reading();
  timer_->start(delay);
  return false;
}

bool Connection::accept_connect(const ConnectOptions& options, IdentityPtr identity) {
  if (options.protocol < 0 || options.protocol > 1) {
    close(CloseReason::kBadClientProtocolVersion, "invalid client protocol");
    return false;
  }
  const bool headers = options.headers && world_.options.headers;
  if (options.no_responders && !headers) {
    close(CloseReason::kNoRespondersRequiresHeaders, "no responders requires headers support");
    return false;
  }
  verbose_ = options.verbose;
  pedantic_ = options.pedantic;
  echo_ = options.echo;
  headers_ = headers;
  no_responders_ = options.no_responders;
  async_info_ = options.protocol >= 1;
  name_ = options.name;
  lang_ = options.lang;
  version_ = options.version;
  parser_.limits().headers = headers_;
  parser_.limits().connect_first = false;
  if (!bind(std::move(identity))) return false;
  world_.host.on_connection_bound(*this);
  if (state_ == State::kGreeted || waiting_ != Waiting::kPings) {
    if (rtt_.count() == 0)  // until a PONG tells better
      rtt_ = std::max(world_.clock.now() - start_, std::chrono::nanoseconds(1));
    state_ = State::kConnected;
    waiting_ = Waiting::kPings;
    start_ping_timer(true);
  }
  if (verbose_) send(kOkLine);
  return open();
}

/// From now on it is this user's, in this account.
bool Connection::bind(IdentityPtr identity) {
  unbind();
  account_ = identity->account;
  identity_ = identity;
  if (!account_->has_room_for_connection()) {
    ++world_.counters.refused_connections;
    close(CloseReason::kMaxAccountConnections, "maximum account active connections exceeded");
    return false;
  }
  bound_ = true;
  ++account_->connections;
  if (account_ != counted_in_) ++account_->counters.total_connections;
  counted_in_ = account_;
  take_identity(std::move(identity));
  return true;
}

void Connection::take_identity(IdentityPtr identity) {
  identity_ = std::move(identity);
  permissions_ = identity_->permissions == nullptr
                     ? nullptr
                     : std::make_unique<PermissionState>(identity_->permissions);
  parser_.limits().max_payload = max_payload();
  expiry_timer_.reset();
  if (identity_->expires != 0) {
    expiry_timer_ = world_.timers.make([this] { on_expired(); });
    expiry_timer_->start(std::chrono::nanoseconds(identity_->expires - world_.clock.wall()));
  }
}

void Connection::change_identity(IdentityPtr identity) {
  take_identity(std::move(identity));
  std::vector<ClientSubscription*> refused;
  for (const auto& [sid, subscription] : subscriptions_) {
    const bool allowed = permissions_ == nullptr || permissions_->rules().may_subscribe(
                                                        subscription->subject(), subscription->queue());
    if (!allowed) refused.push_back(subscription);
    subscription->filtered_ =
        permissions_ != nullptr && permissions_->rules().needs_filter(subscription->subject());
  }
  for (ClientSubscription* subscription : refused) {
    send_error(fmt::format("Permissions Violation for Subscription to \"{}\" (sid \"{}\")",
                           subscription->subject(), subscription->sid()));
    if (!open()) return;
    drop(*subscription);
  }
}

void Connection::unbind() {
  if (!std::exchange(bound_, false)) return;
  --account_->connections;
}

std::chrono::nanoseconds Connection::expires_in() const {
  if (identity_ == nullptr || identity_->expires == 0) return std::chrono::nanoseconds(-1);
  return std::max(std::chrono::nanoseconds(0),
                  std::chrono::nanoseconds(identity_->expires - world_.clock.wall()));
}

void Connection::on_expired() {
  close(CloseReason::kAuthenticationExpired, identity_->expires_with_account
                                                 ? "Account Authentication Expired"
                                                 : "User Authentication Expired");
}

size_t Connection::max_payload() const {
  size_t most = world_.options.max_payload;
  if (account_->options().max_payload >= 0)
    most = std::min(most, static_cast<size_t>(account_->options().max_payload));
  if (identity_ != nullptr && identity_->max_payload >= 0)
    most = std::min(most, static_cast<size_t>(identity_->max_payload));
  return most;
}

}  // namespace sluice
