#include "replicator/heartbeat.h"

#include <fmt/format.h>

#include <utility>

#include "base/headers.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kAckTimeout{2};

}  // namespace

Heartbeat::Heartbeat(Env& env, StreamClient& client, const HeartbeatOptions& options, const std::string& host)
    : env_(env), client_(client) {
  for (const HeartbeatSubject& subject : options.subjects) {
    auto beat = std::make_unique<Beat>();
    beat->options = subject;
    if (subject.interval.count() == 0) beat->options.interval = options.interval;
    for (const auto& [name, value] : options.headers) beat->options.headers.emplace(name, value);
    beat->options.headers.insert_or_assign(std::string(kHeartbeatOriginHeader), host);
    beat->options.headers.insert_or_assign(std::string(kHeartbeatSubjectHeader), subject.subject);
    beat->figures.subject = subject.subject;
    beat->timer = env.timers.make([this, raw = beat.get()] { publish(*raw); });
    beats_.push_back(std::move(beat));
  }
}

void Heartbeat::start() {
  for (auto& beat : beats_) {
    const auto splay = 2500ms + std::chrono::milliseconds(env_.random.below(5000));
    beat->timer->start(splay + beat->options.interval);
  }
}

void Heartbeat::publish(Beat& beat) {
  beat.timer->start(beat.options.interval);
  if (beat.call.active()) {  // the next one is due, and the last one still unanswered
    ++beat.figures.published;
    note_failure(beat, "no ack before the next one was due");
  }
  beat.call.cancel();
  if (!active_) return;
  const WallNanos now = env_.clock.wall();
  std::string headers;
  for (const auto& [name, value] : beat.options.headers) append_header(headers, name, value);
  append_header(headers, kHeartbeatTimeHeader, fmt::format("{}", now));
  const MonoTime sent = env_.clock.now();
  beat.call = client_.publish({beat.options.subject, {}, headers, fmt::format("{}", now / 1'000'000'000)}, kAckTimeout,
                              [this, &beat, sent](const Result<PubAck>& ack) {
                                beat.call.release();
                                ++beat.figures.published;
                                beat.figures.last_seconds = std::chrono::duration<double>(env_.clock.now() - sent).count();
                                ++beat.figures.timed;
                                beat.figures.sum_seconds += beat.figures.last_seconds;
                                if (!ack) return note_failure(beat, ack.error().detail);
                                beat.figures.last_error.clear();
                              });
}

void Heartbeat::note_failure(Beat& beat, const std::string& why) {
  ++beat.figures.failed;
  if (beat.figures.last_error != why) {
    SLUICE_LOG(log_, kWarn, "heartbeat was not acknowledged subject={} error=\"{}\"", beat.options.subject, why);
  }
  beat.figures.last_error = why;
}

std::vector<Heartbeat::Figures> Heartbeat::figures() const {
  std::vector<Figures> out;
  for (const auto& beat : beats_) out.push_back(beat->figures);
  return out;
}

}  // namespace sluice
