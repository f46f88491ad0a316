#include "replicator/lag_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "client/api_json.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kInterval = 2s;
constexpr auto kStalledAfter = 8s;
constexpr uint16_t kNoMessageFound = 10037;

double seconds_between(WallNanos from, WallNanos to) {
  return to > from ? static_cast<double>(to - from) / 1e9 : 0.0;
}

}  // namespace

LagWatch::LagWatch(Env& env, StreamClient& control, const StreamCopyOptions& options, Events events)
    : env_(env),
      control_(control),
      options_(options),
      events_(std::move(events)),
      timer_(env.timers.make([this] { tick(); })) {}

void LagWatch::start() {
  resting_ = false;
  healthy_at_ = env_.clock.now();
  timer_->start(0ns);
}

void LagWatch::rest() {
  resting_ = true;
  asking_ = false;
  call_.cancel();
  timer_->stop();
  figures_.messages.reset();
  figures_.seconds.reset();
  judge();
}

void LagWatch::progressed() {
  healthy_at_ = env_.clock.now();
  if (figures_.stalled) judge();
}

void LagWatch::tick() {
  timer_->start(kInterval);
  judge();
  if (std::exchange(asking_, true)) return;
  call_ = control_.stream_info(options_.stream, [this](const Result<StreamFigures>& info) { on_info(info); });
}

void LagWatch::on_info(const Result<StreamFigures>& info) {
  asking_ = false;
  if (!info) {
    figures_.messages.reset();
    figures_.seconds.reset();
    figures_.why_stalled = fmt::format("the source does not tell where it ends: {}", info.error().detail);
    return;
  }
  if (const WallNanos life = events_.life(); life != 0 && life != info->created) {
    // Made anew, which the copy has not seen yet: its sequences can't be held against these.
    figures_.messages.reset();
    figures_.seconds.reset();
    figures_.why_stalled = "the source stream was made anew";
    return;
  }
  figures_.source_end = info->last_seq;
  if (info->last_seq <= events_.passed()) return set_lag(0, 0);
  look_at_next();
}

void LagWatch::look_at_next() {
  next_time_.reset();
  const StreamSeq passed = events_.passed();
  if (const WallNanos oldest = events_.oldest_time(); oldest != 0)
    return set_lag(figures_.source_end.value() - std::min(passed, figures_.source_end).value(),
                   seconds_between(oldest, env_.clock.wall()));
  on_next(fail(Errc::kNotFound, ""), SIZE_MAX, passed);
}

/// Asks for the next message on one filter after the other; `filter` is the one just answered.
void LagWatch::on_next(Result<std::string> reply, size_t filter, StreamSeq passed) {
  asking_ = false;
  const auto filters = options_.filters();
  if (filter != SIZE_MAX) {
    if (reply) {
      const auto message = parse_stored_message(*reply);
      if (!message) return;
      next_time_ = std::min(next_time_.value_or(message->time), message->time);
    } else if (reply.error().api_code != kNoMessageFound) {
      figures_.seconds.reset();
      return;
    }
  }
  const size_t next = filter == SIZE_MAX ? 0 : filter + 1;
  if (next >= std::max<size_t>(filters.size(), 1)) {
    if (next_time_) {
      return set_lag(figures_.source_end.value() - std::min(passed, figures_.source_end).value(),
                     seconds_between(*next_time_, env_.clock.wall()));
    }
    // Nothing of it is for us.
    if (passed == events_.passed()) events_.on_nothing_before(figures_.source_end);
    return set_lag(0, 0);
  }
  const std::string body = nlohmann::json{{"seq", passed.value() + 1},
                                          {"next_by_subj", filters.empty() ? ">" : filters[next]}}
                               .dump();
  asking_ = true;
  call_ = control_.api("STREAM.MSG.GET", options_.stream, body, [this, next, passed](Result<std::string> answer) {
    on_next(std::move(answer), next, passed);
  });
}

void LagWatch::set_lag(uint64_t messages, double seconds) {
  figures_.messages = messages;
  figures_.seconds = seconds;
  if (messages == 0) progressed();
  figures_.why_stalled = fmt::format("{} messages wait at the source and none was copied", messages);
}

void LagWatch::judge() {
  const bool stalled = !resting_ && env_.clock.now() - healthy_at_ >= kStalledAfter;
  if (stalled == figures_.stalled) return;
  figures_.stalled = stalled;
  events_.on_change(stalled);
}

}  // namespace sluice
