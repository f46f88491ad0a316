#include "consumer/consumer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger log_{"consumer"};
// First byte of a record in the store: changes, or the whole state.
constexpr char kDeltaRecord = 0;
constexpr char kImageRecord = 1;
constexpr std::chrono::nanoseconds kLookAgain = std::chrono::milliseconds(200);  ///< when the disk refuses a read
constexpr std::chrono::nanoseconds kLongestDelay = std::chrono::hours(24 * 365);

}  // namespace

Consumer::Consumer(const Place& place, ConsumerConfig config, WallNanos created)
    : place_(place),
      config_(std::move(config)),
      created_(created),
      cursor_(place.stream.store(), config_.filters()),
      backlog_(cursor_),
      state_(config_.ack_policy),
      ack_subject_(place.stream.config().name, config_.name),
      advisories_(place.env, place.bus, place.stream.config().name, config_.name, place.options.domain,
                  place.options.account),
      group_(place.env, config_,
             {.pinned = [this](std::string_view group, std::string_view id) { advisories_.pinned(group, id); },
              .unpinned =
                  [this](std::string_view group, const char* reason) {
                    advisories_.unpinned(group, reason);
                    enlist();
                  }}),
      anchor_(std::make_shared<Consumer*>(this)),
      redelivery_timer_(place.env.timers.make([this] { on_redelivery_timer(); })),
      wake_timer_(place.env.timers.make([this] { wake(); })) {}

Consumer::~Consumer() {
  // A closed one has left the stream, which may be gone by now.
  if (!closed_) place_.stream.remove_observer(*this);
}

// -- life

void Consumer::begin() {
  cursor_.start(config_, place_.stream.config().max_msgs_per_subject == 1);
  state_.start_at(cursor_.first_candidate());
  if (config_.replay_policy == ReplayPolicy::kOriginal) replay_end_ = place_.stream.store().state().last_seq;
  store_image();
}

void Consumer::begin_from(const ConsumerImage& image) {
  cursor_.start(config_, place_.stream.config().max_msgs_per_subject == 1);
  const bool begun = !image.delivered.consumer.is_zero() || config_.deliver_policy != DeliverPolicy::kLastPerSubject;
  state_.start_at(cursor_.first_candidate());
  if (begun) {
    state_.set(image.delivered, image.floor, image.pending);
    cursor_.resume_after(image.delivered.stream);
  }
  restore_deadlines();
  store_image();
}

void Consumer::store_image() {
  if (!kept()) return;
  place_.store->append_consumer_delta(place_.key, std::string(1, kImageRecord) + snapshot());
}

bool Consumer::recover(const RecoveredConsumer& found) {
  const auto read_image = [this](std::string_view image) {
    VarintReader in(image);
    return state_.decode(in) && cursor_.decode(in) && !in.more();
  };
  bool known = !found.snapshot.empty();
  bool good = !known || read_image(found.snapshot);
  for (const std::string& record : found.deltas) {
    if (!good || record.empty()) break;
    const std::string_view body = std::string_view(record).substr(1);
    if (record[0] == kImageRecord) {
      good = read_image(body);
      known = true;
    } else {
      good = record[0] == kDeltaRecord && known && state_.apply(body);
    }
  }
  if (!good || !known) {
    SLUICE_LOG(log_, kError, "consumer state unreadable, starts anew stream={} consumer={}",
               place_.stream.config().name, config_.name);
    state_ = ConsumerState(config_.ack_policy);
    begin();
    return false;
  }
  cursor_.resume_after(state_.delivered().stream);
  if (config_.replay_policy == ReplayPolicy::kOriginal) replay_end_ = place_.stream.store().state().last_seq;
  restore_deadlines();
  return true;
}

void Consumer::restore_deadlines() {
  // Messages that left the stream while nobody looked.
  StreamStore& store = place_.stream.store();
  const StreamState stream = store.state();
  std::vector<StreamSeq> lost;
  state_.pending().each([&](PendingMessage& m) {
    const bool there = stream.messages > 0 && m.seq >= stream.first_seq && m.seq <= stream.last_seq &&
                       !store.deleted().contains(m.seq.value());
    if (!there) lost.push_back(m.seq);
  });
  for (const StreamSeq seq : lost) state_.drop(seq);
  if (config_.ack_policy == AckPolicy::kFlowControl) return;  // nothing comes again by itself
  const MonoTime now = place_.env.clock.now();
  const WallNanos wall = place_.env.clock.wall();
  state_.pending().each([&](PendingMessage& m) {
    const auto since = std::chrono::nanoseconds(wall - m.time);
    // A time ahead of the clock is a delayed refusal; bounded, in case the clock was set back for good.
    m.due = now + std::clamp<std::chrono::nanoseconds>(wait_after(m.deliveries) - since, {}, kLongestDelay);
  });
  redelivery_.rebuild(state_.pending());
  if (const auto due = redelivery_.next_due(state_.pending())) arm_redelivery(*due);
}

void Consumer::run() {
  SLUICE_CHECK(!running_);
  backlog_.recount(place_.stream.visible_last());
  running_ = true;
  if (config_.is_push()) {
    push_ = std::make_unique<PushDelivery>(
        place_.env, place_.bus, place_.stream.config().name, config_,
        PushHost{.ready = [this] { enlist(); },
                 .interest = [this](bool) { touch(); },
                 .heartbeat_headers = [this] { return heartbeat_headers(); },
                 .acks_outstanding =
                     [this] { return config_.ack_policy == AckPolicy::kFlowControl && !state_.pending().empty(); },
                 .acked = [this](std::string_view headers) { flow_acked(headers); }});
  }
  pulls_ = std::make_unique<PullRequests>(
      place_.env, place_.bus, config_, place_.options.api_level, group_,
      PullHost{.deliverable = [this] { return backlog_.count() + state_.pending().queued(); },
               .heartbeat_headers = [this] { return heartbeat_headers(); },
               .activity = [this] { touch(); },
               .statuses_wait = [this] { enlist(); }});
  subscribe();
  touch();
  watch_activity();
  enlist();
}

void Consumer::update(const ConsumerConfig& config) {
  const bool new_filters = config.filters() != config_.filters();
  const bool new_waits = config.ack_wait != config_.ack_wait || config.backoff != config_.backoff;
  config_ = config;
  if (new_filters) {
    cursor_.set_filters(config_.filters());
    backlog_.recount(backlog_.visible());
  }
  if (new_waits) restore_deadlines();
  if (push_) push_->retarget(config_);
  group_.reconfigure();
  watch_activity();
  wake_timer_->start(std::chrono::nanoseconds{0});
}

void Consumer::close(std::string_view pull_status, bool with_rest) {
  if (closed_) return;
  flush_state();
  closed_ = true;
  redelivery_timer_->stop();
  wake_timer_->stop();
  if (activity_timer_) activity_timer_->stop();
  relief_.cancel();
  place_.stream.remove_observer(*this);
  if (pulls_) pulls_->end_all(pull_status, with_rest);
  subscriptions_.clear();
  push_.reset();
  confirm_acks();
  advisories_.flush();
}

void Consumer::pause(WallNanos until) {
  const WallNanos before = config_.pause_until.value_or(kZeroTime);
  if (until == kZeroTime) {
    config_.pause_until.reset();
  } else {
    config_.pause_until = until;
  }
  if (until != before) advisories_.paused(paused(), until);
  enlist();
}

Status Consumer::check_reset(StreamSeq to) {
  const auto no = [](const char* why) { return fail_api(Errc::kInvalidArgument, 10204, why); };
  switch (config_.deliver_policy) {
    case DeliverPolicy::kAll: return {};
    case DeliverPolicy::kByStartSequence:
      if (to.value() < config_.opt_start_seq) return no("below start seq");
      return {};
    case DeliverPolicy::kByStartTime:
      if (to < place_.stream.store().seq_at_time(config_.opt_start_time.value_or(kZeroTime))) return no("below start time");
      return {};
    case DeliverPolicy::kLast:
    case DeliverPolicy::kNew:
    case DeliverPolicy::kLastPerSubject: break;
  }
  return no("not allowed");
}

Result<StreamSeq> Consumer::reset(std::optional<StreamSeq> to) {
  if (to) {
    if (Status allowed = check_reset(*to); !allowed) return std::unexpected(allowed.error());
  }
  const StreamSeq start = to.value_or(state_.ack_floor().stream.next());
  state_.reset(start);
  cursor_.restart_at(start);
  redelivery_.clear();
  redelivery_timer_->stop();
  redelivery_armed_for_ = MonoTime::max();
  backlog_.recount(backlog_.visible());
  if (push_) push_->restart();
  store_image();
  enlist();
  return start;
}

bool Consumer::paused() const { return config_.pause_until && *config_.pause_until > place_.env.clock.wall(); }

std::string Consumer::snapshot() {
  state_.take_delta(place_.env.clock.wall());
  std::string out;
  state_.encode(out);
  cursor_.encode(out);
  return out;
}

void Consumer::flush_state() {
  if (!state_.has_delta()) return;
  std::string delta = state_.take_delta(place_.env.clock.wall());
  if (!kept() || closed_) return;
  delta.insert(delta.begin(), kDeltaRecord);
  place_.store->append_consumer_delta(place_.key, delta);
}

// -- rounds

void Consumer::enlist() {
  if (enlisted_ || closed_ || !running_) return;
  enlisted_ = true;
  place_.env.executor.at_round_end(RoundPhase::kDeliver, [weak = std::weak_ptr<Consumer*>(anchor_)] {
    if (const auto self = weak.lock()) (*self)->on_round();
  });
}

void Consumer::on_round() {
  enlisted_ = false;
  acked_at_ = kZeroTime;
  if (closed_) return;
  serve();
  if (closed_) return;
  pulls_->flush_statuses();
  if (closed_) return;
  flush_state();
  confirm_acks();
  if (advisories_.waiting()) advisories_.flush();
  if (!more_ || closed_) return;
  place_.env.executor.post([weak = std::weak_ptr<Consumer*>(anchor_)] {
    if (const auto self = weak.lock()) (*self)->enlist();
  });
}

void Consumer::serve() {
  more_ = false;
  paced_ = false;
  congested_in_a_row_ = 0;
  serving_since_ = place_.env.clock.wall();
  if (paused()) {
    wake_timer_->start(std::chrono::nanoseconds(*config_.pause_until - place_.env.clock.wall()));
    pulls_->drained();
    return;
  }
  for (uint32_t n = 0; n < place_.options.messages_per_round; ++n) {
    const Step step = push_ ? push_step() : pull_step();
    if (step == Step::kStop || closed_) return;
  }
  more_ = true;
}

Consumer::Step Consumer::pull_step() {
  if (config_.priority_policy != PriorityPolicy::kNone) return grouped_step();
  PullRequest* request = pulls_->head();
  if (request == nullptr) return Step::kStop;
  if (place_.bus.congested(request->inbox, {})) {
    if (++congested_in_a_row_ < pulls_->size()) {
      pulls_->rotate();
      return Step::kAgain;
    }
    wait_for_relief();
    return Step::kStop;
  }
  congested_in_a_row_ = 0;
  const auto next = pick();
  if (!next) {
    if (!paced_) pulls_->drained(is_full());
    return Step::kStop;
  }
  return serve_pull(*request, *next, {});
}

/// Whose turn it is depends on the message, so it is looked at first: nobody is pinned for nothing.
Consumer::Step Consumer::grouped_step() {
  if (pulls_->size() == 0) return Step::kStop;
  const auto next = pick();
  if (!next) {
    if (!paced_) pulls_->drained(is_full());
    return Step::kStop;
  }
  const uint64_t behind = backlog_.count() - (next->deliveries == 1 ? 1 : 0);
  PullRequest* request = pulls_->choose(behind + 1, state_.pending().size());
  if (request == nullptr) {
    pulls_->drained();
    return Step::kStop;
  }
  if (!place_.bus.has_interest(request->inbox, {})) {
    pulls_->drop(request->id);
    return Step::kAgain;
  }
  if (place_.bus.congested(request->inbox, {})) {
    wait_for_relief();
    return Step::kStop;
  }
  return serve_pull(*request, *next, group_.serve(request->claim));
}

Consumer::Step Consumer::serve_pull(PullRequest& request, const Pick& pick, std::string_view pin) {
  const Message message = prepare(pick, pin);
  const uint64_t size =
      message.subject.size() + message.reply.size() + message.headers.size() + message.payload.size();
  if (!pulls_->fits(size)) return Step::kAgain;
  const uint64_t id = request.id;
  inbox_ = request.inbox;
  const bool taken =
      hand_out(pick, message, [this](const Message& m) { return place_.bus.deliver(inbox_, {}, m) != 0; });
  if (closed_) return Step::kStop;
  if (taken) {
    pulls_->served(id, size);
  } else {
    pulls_->drop(id);
  }
  return Step::kAgain;
}

Consumer::Step Consumer::push_step() {
  if (!push_->active() || push_->stalled()) return Step::kStop;
  if (push_->congested()) {
    wait_for_relief();
    return Step::kStop;
  }
  const auto next = pick();
  if (!next) {
    if (config_.ack_policy == AckPolicy::kFlowControl && is_full()) push_->ask();
    return Step::kStop;
  }
  const bool taken = hand_out(*next, prepare(*next, {}), [this](const Message& m) { return push_->send(m); });
  return taken && !closed_ ? Step::kAgain : Step::kStop;
}

void Consumer::wait_for_relief() {
  relief_ = place_.bus.call_when_relieved([this] { enlist(); });
}

std::optional<Consumer::Pick> Consumer::pick() {
  while (const PendingMessage* again = redelivery_.front(state_.pending())) {
    const uint32_t deliveries = again->deliveries + 1;
    StreamStore& store = place_.stream.store();
    const uint64_t refused = store.refused_reads();
    if (const auto message = store.load(again->seq)) return Pick{*message, deliveries};
    if (store.refused_reads() != refused) {
      look_again();
      return std::nullopt;
    }
    state_.drop(again->seq);
  }
  if (is_full()) return std::nullopt;
  if (backlog_.inexact()) look_again();
  if (backlog_.count() == 0) return std::nullopt;
  const auto message = cursor_.next(backlog_.visible());
  if (cursor_.unreadable()) look_again();
  if (!message || !pace_allows(*message)) return std::nullopt;
  return Pick{*message, 1};
}

/// The disk refuses to read what is next: it is asked again, nothing is passed over.
void Consumer::look_again() {
  if (!wake_timer_->active()) wake_timer_->start(kLookAgain);
}

void Consumer::wake() {
  if (backlog_.inexact()) backlog_.recount(backlog_.visible());
  enlist();
}

bool Consumer::is_full() const {
  const bool bounded = config_.ack_policy != AckPolicy::kNone && config_.max_ack_pending > 0;
  return bounded && state_.pending().size() >= static_cast<size_t>(config_.max_ack_pending);
}

bool Consumer::pace_allows(const StoredMessage& message) {
  if (pace_until_ == MonoTime::zero() && message.seq > replay_end_) return true;
  const MonoTime now = place_.env.clock.now();
  MonoTime due = pace_until_;
  if (message.seq <= replay_end_ && replay_time_ != kZeroTime && message.time > replay_time_)
    due = std::max(due, replay_sent_ + std::chrono::nanoseconds(message.time - replay_time_));
  if (due <= now) return true;
  paced_ = true;
  wake_timer_->start(due - now);
  return false;
}

Message Consumer::prepare(const Pick& pick, std::string_view pin) {
  const StoredMessage& stored = pick.message;
  const bool first = pick.deliveries == 1;
  const std::string_view reply = ack_subject_.format(DeliveryMeta{
      .deliveries = pick.deliveries,
      .stream_seq = stored.seq,
      .consumer_seq = state_.delivered().consumer.next(),
      .time = stored.time,
      .num_pending = backlog_.count() - (first ? 1 : 0),
  });
  if (!config_.headers_only && pin.empty()) return Message{stored.subject, reply, stored.headers, stored.payload};
  headers_ = stored.headers.empty() ? std::string_view("NATS/1.0\r\n") : stored.headers.substr(0, stored.headers.size() - 2);
  if (config_.headers_only)
    fmt::format_to(std::back_inserter(headers_), "Nats-Msg-Size: {}\r\n", stored.payload.size());
  if (!pin.empty()) fmt::format_to(std::back_inserter(headers_), "Nats-Pin-Id: {}\r\n", pin);
  headers_ += "\r\n";
  return Message{stored.subject, reply, headers_, config_.headers_only ? std::string_view{} : stored.payload};
}

template <class Send>
bool Consumer::hand_out(const Pick& pick, const Message& message, Send&& send) {
  const StreamSeq seq = pick.message.seq;
  const bool first = pick.deliveries == 1;
  const bool timed = config_.ack_policy != AckPolicy::kFlowControl && config_.ack_policy != AckPolicy::kNone;
  const MonoTime due = timed ? place_.env.clock.now() + wait_after(pick.deliveries) : MonoTime::max();
  // Noted before it is sent: a receiver inside the process may acknowledge from within the call.
  const auto delivery = state_.deliver(seq, serving_since_, due);
  if (first) {
    cursor_.advance(seq);
    backlog_.on_delivered();
  }
  if (!send(message)) {
    state_.undo_delivery(delivery);
    if (first) {
      cursor_.undo(seq);
      backlog_.undo_delivered();
    }
    return false;
  }
  if (closed_) return true;
  if (!first) redelivery_.pop();
  handed_out(pick, message.subject.size() + message.headers.size() + message.payload.size());
  return true;
}

void Consumer::handed_out(const Pick& pick, uint64_t size) {
  const StreamSeq seq = pick.message.seq;
  ++counters_.delivered;
  if (pick.deliveries > 1) ++counters_.redelivered;
  if (config_.rate_limit_bps > 0) {
    const double seconds = static_cast<double>(size) * 8.0 / static_cast<double>(config_.rate_limit_bps);
    pace_until_ = std::max(pace_until_, place_.env.clock.now()) +
                  std::chrono::nanoseconds(static_cast<int64_t>(std::min(seconds, 3600.0) * 1e9));
  }
  if (pick.deliveries == 1 && seq <= replay_end_) {
    replay_time_ = pick.message.time;
    replay_sent_ = place_.env.clock.now();
  }
  if (config_.ack_policy == AckPolicy::kNone) {
    if (place_.stream.config().retention != Retention::kLimits) place_.stream.consumer_done(seq);
    return;
  }
  if (config_.ack_policy == AckPolicy::kFlowControl) return;
  if (const PendingMessage* message = state_.pending().find(seq); message != nullptr && !message->queued) {
    redelivery_.arm(*message, state_.pending());
    arm_redelivery(message->due);
  }
}

std::string Consumer::heartbeat_headers() const {
  return fmt::format("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {}\r\nNats-Last-Stream: {}\r\n\r\n",
                     state_.delivered().consumer.value(), state_.delivered().stream.value());
}

// -- redelivery by time

std::chrono::nanoseconds Consumer::wait_after(uint32_t deliveries) const {
  if (config_.backoff.empty()) return config_.ack_wait;
  const size_t step = std::min<size_t>(deliveries - 1, config_.backoff.size() - 1);
  return config_.backoff[step];
}

void Consumer::arm_redelivery(MonoTime due) {
  if (due >= redelivery_armed_for_ || closed_) return;
  redelivery_armed_for_ = due;
  redelivery_timer_->start(due - place_.env.clock.now());
}

void Consumer::requeue(PendingMessage& message) {
  if (config_.max_deliver > 0 && message.deliveries >= static_cast<uint64_t>(config_.max_deliver)) {
    const StreamSeq seq = message.seq;
    advisories_.max_deliveries(seq, message.deliveries);
    state_.exhaust(seq);
    ++counters_.exhausted;
  } else {
    redelivery_.enqueue(message, state_.pending());
  }
  enlist();
}

void Consumer::on_redelivery_timer() {
  redelivery_armed_for_ = MonoTime::max();
  if (closed_) return;
  for (const StreamSeq seq : redelivery_.take_due(place_.env.clock.now(), state_.pending())) {
    if (PendingMessage* message = state_.pending().find(seq)) requeue(*message);
  }
  if (const auto due = redelivery_.next_due(state_.pending())) arm_redelivery(*due);
}

// -- what the stream tells

void Consumer::on_visible(StreamSeq last) {
  if (!running_) return;  // run() counts
  backlog_.on_visible(last);
  if (backlog_.count() > 0 || backlog_.inexact()) enlist();
}

void Consumer::on_removed(StreamSeq seq, std::string_view subject) {
  if (running_) backlog_.on_removed(seq, subject);
  const PendingMessage* pending = state_.pending().find(seq);
  if (pending != nullptr) {
    advisories_.terminated({pending->first_delivery, seq, pending->deliveries}, "Unacknowledged message was deleted");
  }
  if (state_.drop(seq)) enlist();
}

void Consumer::on_purged_below(StreamSeq first_kept) {
  cursor_.purged_below(first_kept);
  state_.purged_below(first_kept);
  if (running_) backlog_.recount(backlog_.visible());
  enlist();
}

bool Consumer::needs(StreamSeq seq, std::string_view subject) const {
  if (closed_ || !cursor_.selects(subject)) return false;
  return cursor_.is_ahead(seq) || state_.pending().find(seq) != nullptr || state_.exhausted().contains(seq.value());
}

bool Consumer::selects(std::string_view subject) const { return !closed_ && cursor_.selects(subject); }

void Consumer::on_stream_deleted() { close("409 Consumer Deleted", false); }

// -- inactivity

void Consumer::touch() { last_activity_ = place_.env.clock.now(); }

void Consumer::watch_activity() {
  if (config_.inactive_threshold.count() <= 0) {
    activity_timer_.reset();
    return;
  }
  if (!activity_timer_) activity_timer_ = place_.env.timers.make([this] { on_activity_timer(); });
  activity_timer_->start(config_.inactive_threshold);
}

bool Consumer::in_use() {
  if (push_) return push_->active();
  return pulls_->sweep() > 0;
}

void Consumer::on_activity_timer() {
  if (closed_) return;
  const auto idle = place_.env.clock.now() - last_activity_;
  if (in_use()) {
    touch();
    activity_timer_->start(config_.inactive_threshold);
  } else if (idle < config_.inactive_threshold) {
    activity_timer_->start(config_.inactive_threshold - idle);
  } else if (state_.pending().size() > state_.pending().queued()) {
    // Somebody may still be working on these: their time to acknowledge counts as activity.
    activity_timer_->start(std::max<std::chrono::nanoseconds>(
        redelivery_.next_due(state_.pending()).value_or(place_.env.clock.now()) - place_.env.clock.now(),
        std::chrono::milliseconds(1)));
  } else {
    place_.on_inactive(*this);
  }
}

}  // namespace sluice
