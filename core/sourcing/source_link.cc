// From the request to a running consumer, and back to it when something is wrong. What is delivered is
// in source_delivery.cc.
#include "sourcing/source_link.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/headers.h"
#include "base/log.h"
#include "base/nuid.h"

namespace sluice {
namespace {

constexpr Logger log_{"sourcing"};

/// Codes of an origin that is too old for what was asked.
constexpr uint16_t kLevelTooLow = 10185;
constexpr uint16_t kUnknownField = 10025;
constexpr uint16_t kOtherIdentity = 10225;

}  // namespace

SourceLink::SourceLink(Env& env, Stream& stream, OriginPort& port, CopyTarget target,
                       const StreamSource& source, SourcingCounters& counters)
    : env_(env),
      stream_(stream),
      port_(port),
      counters_(counters),
      target_(std::move(target)),
      source_(source),
      key_(source_key(source)),
      anchor_(std::make_shared<SourceLink*>(this)),
      timer_(env.timers.make([this] { on_timer(); })) {
  for (const SubjectMapping& mapping : source_.subject_transforms) {
    auto made = SubjectTransform::make(mapping.source, mapping.destination);
    SLUICE_CHECK(made);  // the configuration was checked
    transforms_.push_back(*std::move(made));
  }
}

SourceLink::~SourceLink() = default;

/// A later callback, unless the link is gone by then.
void SourceLink::post(void (SourceLink::*step)()) {
  env_.executor.post([weak = std::weak_ptr<SourceLink*>(anchor_), step] {
    if (const auto self = weak.lock()) ((**self).*step)();
  });
}

void SourceLink::start() {
  state_ = State::kWaiting;
  post(&SourceLink::ask);
}

void SourceLink::nudge() {
  if (state_ != State::kWaiting) return;
  failures_ = 0;
  post(&SourceLink::ask);
}

void SourceLink::stop() {
  if (state_ == State::kStopped) return;
  state_ = State::kStopped;
  timer_->stop();
  close_subscriptions();
  if (source_.consumer) return;  // the operator's own
  const std::string subject = delete_subject(
      target_, source_, port_.api_prefix(source_.external ? source_.external->api : ""));
  (void)port_.publish({.subject = subject, .reply = "", .headers = "", .payload = ""});
}

void SourceLink::close_subscriptions() {
  answers_.reset();
  deliveries_.reset();
  held_.clear();
  held_bytes_ = 0;
  consumer_.clear();
  ++epoch_;
}

uint64_t SourceLink::last_taken() const {
  if (target_.kind == CopyKind::kMirror) return stream_.store().state().last_seq.value();
  const SourcePosition* position = stream_.inbox()->source_positions().find(key_);
  return position == nullptr ? 0 : position->seq;
}

CopyStart SourceLink::start_point() const {
  if (const uint64_t last = last_taken(); last > 0) return {.seq = last + 1, .time = std::nullopt};
  return {.seq = source_.opt_start_seq, .time = source_.opt_start_time};
}

// -- asking

void SourceLink::ask() {
  if (state_ != State::kWaiting) return;
  close_subscriptions();
  state_ = State::kAsking;
  ++counters_.requests;
  const std::string external = source_.external ? source_.external->api : "";
  const std::string api = port_.api_prefix(external);
  if (source_.consumer) {
    deliver_subject_ = source_.consumer->deliver_subject;
    return send(reset_request(source_, api, std::max<uint64_t>(start_point().seq, 1)));
  }
  const bool own_prefix = source_.external && !source_.external->deliver.empty();
  deliver_subject_ = fmt::format("{}.{}.{}", own_prefix ? source_.external->deliver : "$JS",
                                 target_.kind == CopyKind::kMirror ? "M" : "S",
                                 random_base62(8, env_.random));
  const SourcePosition* position = stream_.inbox()->source_positions().find(key_);
  send(create_request(target_, source_, api, deliver_subject_, start_point(),
                      position == nullptr ? std::string_view() : position->identity, level_));
}

void SourceLink::send(const OriginRequest& request) {
  const std::string inbox = port_.new_inbox();
  answers_ = port_.subscribe(inbox, [this](const Message& m) { on_answer(m); });
  timer_->start(kAnswerWait);
  const bool taken = port_.publish({.subject = request.subject,
                                    .reply = inbox,
                                    .headers = request.headers,
                                    .payload = request.body});
  if (!taken && state_ == State::kAsking) begin_again({Errc::kNoResponders, 0, "no JetStream answers there"});
}

void SourceLink::on_answer(const Message& message) {
  if (state_ != State::kAsking) return;
  auto answer = parse_origin_answer(message.headers, message.payload);
  if (!answer) return on_refusal(answer.error());
  accept(*answer);
}

void SourceLink::accept(const OriginAnswer& answer) {
  if (source_.consumer && answer.ack_policy != "flow_control") {
    const bool mirror = target_.kind == CopyKind::kMirror;
    return begin_again({Errc::kRefused, static_cast<uint16_t>(mirror ? 10214 : 10217), {}});
  }
  if (origin_was_remade(answer)) return;
  if (!answer.deliver_subject.empty()) deliver_subject_ = answer.deliver_subject;
  consumer_ = answer.consumer;
  identity_ = answer.identity;
  consumer_seq_ = 0;
  origin_seq_ = last_taken();
  lag_ = answer.num_pending;
  tell_whether_current();
  heard_ = true;
  heard_at_ = env_.clock.now();
  error_.reset();
  state_ = State::kCopying;
  timer_->start(kSilence);
  // Only now: deliveries begin when somebody listens, so none can come before its consumer is known.
  deliveries_ = port_.subscribe(deliver_subject_, [this](const Message& m) { on_delivery(m); });
}

/// A source starts from scratch on another stream of the same name. A mirror can't (its sequences are
/// its origin's): it goes on above its last one and says so.
bool SourceLink::origin_was_remade(const OriginAnswer& answer) {
  if (answer.identity.empty()) return false;
  StreamInbox& inbox = *stream_.inbox();
  const SourcePosition* position = inbox.source_positions().find(key_);
  const bool remade = position != nullptr && !position->identity.empty() &&
                      position->identity != answer.identity;
  if (target_.kind == CopyKind::kMirror) {
    if (position == nullptr) inbox.reset_source(key_, answer.identity);
    remade_.reset();
    if (remade)
      remade_ = Error{Errc::kRefused, 10029,
                      fmt::format("origin stream {} was made anew: only its messages above sequence {} are copied",
                                  source_.name, last_taken())};
    return false;
  }
  if (!remade) return false;
  SLUICE_LOG(log_, kWarn, "origin stream was made anew, copying it from its start stream={} origin={}",
             target_.stream, source_.name);
  inbox.reset_source(key_, answer.identity);
  state_ = State::kWaiting;
  post(&SourceLink::ask);
  return true;
}

void SourceLink::on_refusal(const Error& error) {
  if (step_down(error)) {
    state_ = State::kWaiting;
    return post(&SourceLink::ask);
  }
  if (error.api_code == kOtherIdentity && target_.kind == CopyKind::kSource) {
    stream_.inbox()->reset_source(key_, "");
    state_ = State::kWaiting;
    return post(&SourceLink::ask);
  }
  begin_again(error);
}

bool SourceLink::step_down(const Error& error) {
  if (source_.consumer || level_ == OriginLevel::kPlain) return false;
  if (error.api_code != kLevelTooLow && error.api_code != kUnknownField) return false;
  const bool skip_one = target_.kind == CopyKind::kMirror || error.api_code == kUnknownField;
  level_ = level_ == OriginLevel::kIdentity && !skip_one ? OriginLevel::kSourcing : OriginLevel::kPlain;
  return true;
}

// -- when something is wrong

void SourceLink::begin_again(const Error& why) {
  if (state_ == State::kStopped) return;
  const bool was_copying = state_ == State::kCopying;
  ++counters_.restarts;
  if (!error_ || error_->detail != why.detail)
    SLUICE_LOG(log_, kWarn, "copying waits stream={} origin={} code={} why={}", target_.stream,
               source_.name, why.api_code, why.detail);
  error_ = why;
  if (error_->api_code == 0) error_->api_code = target_.kind == CopyKind::kMirror ? 10029 : 10045;
  failures_ = was_copying ? 0 : failures_ + 1;
  wait_and_ask();
}

/// 2 s after a consumer that worked, then 10 s, 20 s … 2 min, with up to a tenth of jitter.
void SourceLink::wait_and_ask() {
  state_ = State::kWaiting;
  using std::chrono::nanoseconds;
  nanoseconds wait = kShortestWait;
  if (failures_ > 0)
    wait = std::min<nanoseconds>(kLongestWait, std::chrono::seconds(5) * (2 * std::min(failures_, 24u)));
  const auto jitter = nanoseconds(static_cast<int64_t>(
      env_.random.below(static_cast<uint64_t>(wait.count() / 10) + 1)));
  // The subscriptions may be the caller's: they go when the next request is made.
  timer_->start(wait + jitter);
}

void SourceLink::on_timer() {
  switch (state_) {
    case State::kStopped: return;
    case State::kWaiting: ask(); return;
    case State::kAsking:
      begin_again({Errc::kTimeout, 0, "the origin does not answer"});
      return;
    case State::kCopying: {
      const auto silent = env_.clock.now() - heard_at_;
      if (silent < kSilence) return timer_->start(kSilence - silent);
      begin_again({Errc::kTimeout, 0, "stalled: nothing was heard of the origin for 10 s"});
      return;
    }
  }
}

SourceStatus SourceLink::status() const {
  SourceStatus out;
  out.lag = lag_;
  if (target_.kind == CopyKind::kSource) out.seq = last_taken();
  if (heard_) out.active_ns = (env_.clock.now() - heard_at_).count();
  out.error = error_ ? error_ : remade_;
  return out;
}

}  // namespace sluice
