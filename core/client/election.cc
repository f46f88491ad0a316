#include "client/election.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "base/headers.h"
#include "client/backoff.h"
#include "client/kv_names.h"

namespace sluice {
namespace {

constexpr uint16_t kWrongLastSequence = 10071;
/// A standby of ours marks what it gives back, so that the next one need not wait out a lease.
constexpr std::string_view kReleasedHeader = "Sluice-Election-Released";

/// max_age of a stream info reply.
std::chrono::nanoseconds max_age_of(const std::string& info) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  int64_t age = 0;
  if (parser.parse(info).get(root) != simdjson::SUCCESS) return {};
  if (root["config"]["max_age"].get(age) != simdjson::SUCCESS) return {};
  return std::chrono::nanoseconds(age);
}

bool is_free(std::string_view headers) {
  const auto operation = find_header(headers, "KV-Operation");
  return operation == "DEL" || operation == "PURGE" ||
         find_header(headers, "Nats-Marker-Reason").has_value();
}

}  // namespace

Election::Election(Env& env, StreamClient& client, ElectionOptions options, ElectionEvents events)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      events_(std::move(events)),
      subject_(kv_subject(options_.bucket, options_.name)),
      tick_timer_(env.timers.make([this] { tick(); })),
      lease_timer_(env.timers.make([this] { lease_over(); })) {}

Election::~Election() = default;

bool Election::leads() const {
  return state_ == ElectionState::kLeader && told_ && env_.clock.now() < lease_end_;
}

/// An attempt that takes longer than what is left of the lease decides nothing.
std::chrono::nanoseconds Election::patience() const {
  return std::min<std::chrono::nanoseconds>(std::chrono::seconds(5), lease_ - interval());
}

void Election::start(std::move_only_function<void(Status)> ready) {
  ready_ = std::move(ready);
  state_ = ElectionState::kStarting;  // also after a start that was refused
  if (!is_kv_bucket(options_.bucket) || !is_kv_key(options_.name)) {
    env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (alive.expired() || !ready_) return;
      state_ = ElectionState::kStopped;
      std::exchange(ready_, nullptr)(fail(Errc::kInvalidArgument,
                                          "'" + options_.bucket + "/" + options_.name +
                                              "' does not name a bucket and a key"));
    });
    return;
  }
  read_bucket();
}

void Election::read_bucket() {
  call_ = client_.api("STREAM.INFO", kv_stream(options_.bucket), "",
                      [this](Result<std::string> info) { on_bucket(std::move(info)); });
}

void Election::on_bucket(Result<std::string> info) {
  if (state_ != ElectionState::kStarting) return;
  if (!info && info.error().api_code == 0) {  // nobody there yet
    tick_timer_->start(five_sec_backoff(++failures_, env_.random));
    return;
  }
  auto ready = std::exchange(ready_, nullptr);
  if (!info) {
    state_ = ElectionState::kStopped;
    ready(std::unexpected(std::move(info.error())));
    return;
  }
  lease_ = max_age_of(*info);
  if (lease_ < kMinElectionLease || lease_ > kMaxElectionLease) {
    state_ = ElectionState::kStopped;
    ready(fail(Errc::kInvalidArgument,
               "the bucket '" + options_.bucket + "' keeps its keys for " +
                   std::to_string(lease_.count() / 1'000'000) +
                   " ms; an election needs a TTL from 2 seconds to 1 hour"));
    return;
  }
  failures_ = 0;
  state_ = ElectionState::kCandidate;
  key_watch_ = client_.link().subscribe(subject_, "",
                                        [this](const LinkMessage& m) { on_key_message(m); });
  const auto splay = std::min(options_.max_splay, lease_);
  tick_timer_->start(splay.count() == 0 ? splay
                                        : std::chrono::nanoseconds(env_.random.below(
                                              static_cast<uint64_t>(splay.count()))));
  ready({});
}

void Election::tick() {
  if (state_ == ElectionState::kStarting) {
    read_bucket();
    return;
  }
  if (state_ == ElectionState::kStopped) return;
  const std::weak_ptr<char> alive = alive_;
  if (events_.on_campaign) events_.on_campaign(state_);
  if (alive.expired() || state_ == ElectionState::kStopped) return;
  tick_timer_->start(interval());
  if (state_ == ElectionState::kLeader) {
    ++campaigns_[1];
    renew();
  } else {
    ++campaigns_[0];
    campaign(StreamSeq(0));
  }
}

Ticket Election::put(StreamSeq expected, std::string_view operation, std::string_view body,
                     std::move_only_function<void(Result<PubAck>)> done) {
  std::string headers;
  if (!operation.empty()) {
    append_header(headers, "KV-Operation", operation);
    append_header(headers, kReleasedHeader, options_.candidate);
  }
  append_header(headers, "Nats-Expected-Last-Subject-Sequence", std::to_string(expected.value()));
  return client_.publish({subject_, {}, headers, body}, patience(), std::move(done));
}

void Election::campaign(StreamSeq expected) {
  asked_ = env_.clock.now();
  if (expected.is_zero()) was_released_ = false;
  call_ = put(expected, "", options_.candidate, [this, expected](Result<PubAck> answer) {
    on_campaigned(std::move(answer), expected);
  });
}

void Election::on_campaigned(Result<PubAck> answer, StreamSeq expected) {
  if (state_ != ElectionState::kCandidate) return;
  if (!answer) {
    // A key that was deleted leaves a marker: that is the revision to build on.
    if (answer.error().api_code == kWrongLastSequence && expected.is_zero()) look_at_holder();
    return;
  }
  state_ = ElectionState::kLeader;
  revision_ = answer->seq;
  token_ = revision_.value();
  told_ = false;
  lease_end_ = asked_ + lease_;
  lease_timer_->start(lease_end_ - env_.clock.now());
  // From when we asked, as the lease: else a long link leaves no time for the first renewal.
  tick_timer_->start(std::max(asked_ + interval() - env_.clock.now(), std::chrono::nanoseconds(0)));
  if (was_released_) won();
}

void Election::look_at_holder() {
  call_ = client_.last_message(
      kv_stream(options_.bucket), subject_, [this](Result<StoredCopy> holder) {
        if (!holder || state_ != ElectionState::kCandidate || !is_free(holder->headers)) return;
        was_released_ = find_header(holder->headers, kReleasedHeader).has_value();
        campaign(holder->seq);
      });
}

void Election::renew() {
  asked_ = env_.clock.now();
  call_ = put(revision_, "", options_.candidate,
              [this](Result<PubAck> answer) { on_renewed(std::move(answer)); });
}

void Election::on_renewed(Result<PubAck> answer) {
  if (state_ != ElectionState::kLeader) return;
  if (!answer) {
    lost(answer.error().detail);
    return;
  }
  revision_ = answer->seq;
  lease_end_ = asked_ + lease_;
  lease_timer_->start(lease_end_ - env_.clock.now());
  if (!told_) won();
}

void Election::won() {
  told_ = true;
  if (events_.on_won) events_.on_won(token_);
}

/// Last act of whoever calls it.
void Election::lost(std::string_view why) {
  state_ = ElectionState::kCandidate;
  lease_timer_->stop();
  revision_ = StreamSeq();
  if (std::exchange(told_, false) && events_.on_lost) events_.on_lost(why);
}

void Election::lease_over() {
  if (state_ == ElectionState::kLeader) lost("the lease ran out before a renewal was answered");
}

/// Live messages on the key: what a standby waits for is the leader's own word that it goes.
void Election::on_key_message(const LinkMessage& message) {
  if (state_ != ElectionState::kCandidate || !find_header(message.headers, kReleasedHeader)) return;
  tick_timer_->start(std::chrono::milliseconds(50 + env_.random.below(200)));
}

void Election::stop(std::move_only_function<void()> done) {
  const bool led = state_ == ElectionState::kLeader;
  const bool told = std::exchange(told_, false);
  state_ = ElectionState::kStopped;
  tick_timer_->stop();
  lease_timer_->stop();
  key_watch_.reset();
  call_.cancel();
  const std::weak_ptr<char> alive = alive_;
  if (told && events_.on_lost) events_.on_lost("stopped");
  if (alive.expired()) return;
  if (!led) {
    env_.executor.post(std::move(done));
    return;
  }
  call_ = put(revision_, "DEL", "", [finish = std::move(done)](Result<PubAck>) mutable {
    finish();  // refused: the key is no longer ours, which is as good
  });
}

void Election::collect(MetricSink& sink) const {
  const MetricLabels labels = {{"election", options_.name}, {"identity", options_.candidate}};
  for (int led = 0; led < 2; ++led) {
    MetricLabels with_state = labels;
    with_state.emplace_back("state", led ? "leader" : "candidate");
    sink.counter("sluice_election_campaigns_total", "Attempts to win or to keep an election.",
                 with_state, static_cast<double>(campaigns_[led]));
  }
  sink.gauge("sluice_election_leader", "1 while this candidate leads.", labels, leads() ? 1 : 0);
  sink.gauge("sluice_election_interval_seconds", "Time between two attempts.", labels,
             std::chrono::duration<double>(interval()).count());
}

}  // namespace sluice
