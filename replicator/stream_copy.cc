#include "replicator/stream_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/headers.h"
#include "replicator/provenance.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kPublishTimeout = 10s;
constexpr auto kFirstBackOff = 100ms;
constexpr auto kLongestBackOff = 5s;
constexpr auto kBlockedRetry = 30s;
constexpr auto kProbeInterval = 5s;
constexpr auto kPositionInterval = 1s;
constexpr auto kStopDeadline = 2s;

bool is_fence_error(const Error& error) { return error.api_code == 10071 || error.api_code == 10164; }

}  // namespace

const char* to_string(CopyState state) {
  switch (state) {
    case CopyState::kStopped: return "stopped";
    case CopyState::kLocating: return "locating";
    case CopyState::kCopying: return "copying";
    case CopyState::kBackingOff: return "backing off";
    case CopyState::kBlocked: return "blocked";
  }
  return "unknown";
}

StreamCopy::StreamCopy(Env& env, const StreamCopyOptions& options, std::string replicator_name,
                       std::string state_dir, StreamClient& source, StreamClient& target)
    : env_(env),
      options_(options),
      replicator_name_(std::move(replicator_name)),
      state_dir_(std::move(state_dir)),
      source_(source),
      target_(target),
      worker_(env.disk_workers.make("replicator")),
      retry_timer_(env.timers.make([this] { locate(); })),
      position_timer_(env.timers.make([this] { write_position_now(); })),
      probe_timer_(env.timers.make([this] { probe(); })),
      stop_timer_(env.timers.make([this] { finish_stop(); })) {
  if (options_.target_stream.empty()) options_.target_stream = options_.stream;
  if (options_.name.empty()) options_.name = options_.stream;
}

StreamCopy::~StreamCopy() { drop_session(); }

void StreamCopy::start() {
  if (!state_dir_.empty()) {
    auto found = read_position(env_.disk, state_dir_ + "/" + options_.name + ".position");
    if (found) {
      remembered_ = *found;
    } else if (found.error().code != Errc::kNotFound) {
      SLUICE_LOG(log_, kWarn, "position file is not used copy={} error=\"{}\"", options_.name,
                 found.error().detail);
    }
  }
  // A link that comes back ends the pause: there is nothing to wait for any more.
  auto hurry = [this](LinkState state) {
    if (state == LinkState::kConnected && figures_.state == CopyState::kBackingOff) {
      retry_timer_->start(kFirstBackOff);
    }
  };
  source_state_ = source_.link().on_state(hurry);
  target_state_ = target_.link().on_state(hurry);
  probe_timer_->start(kProbeInterval);
  locate();
}

void StreamCopy::locate() {
  drop_session();
  if (stopped_) return;
  figures_.state = CopyState::kLocating;
  ++figures_.sessions;
  step_ = source_.stream_info(options_.stream,
                              [this](Result<StreamFigures> info) { on_source_info(std::move(info)); });
}

void StreamCopy::on_source_info(Result<StreamFigures> info) {
  if (!info) {
    return end_session(fmt::format("source stream '{}': {}", options_.stream, info.error().detail));
  }
  source_info_ = std::move(*info);
  step_ = target_.stream_info(options_.target_stream,
                              [this](Result<StreamFigures> found) { on_target_info(std::move(found)); });
}

void StreamCopy::on_target_info(Result<StreamFigures> info) {
  if (!info) {
    if (info.error().code == Errc::kNotFound && options_.create_target) return create_target();
    return end_session(fmt::format("target stream '{}': {}", options_.target_stream, info.error().detail));
  }
  target_info_ = std::move(*info);
  if (target_info_.last_seq.is_zero()) {
    return begin_at({source_info_.created, StreamSeq(0), StreamSeq(0)});
  }
  step_ = target_.last_message(options_.target_stream, ">",
                               [this](Result<StoredCopy> last) { on_target_last(std::move(last)); });
}

void StreamCopy::create_target() {
  StreamSpec spec;
  spec.name = options_.target_stream;
  spec.subjects = source_info_.subjects;
  spec.description = fmt::format("copy of {} by {}", options_.stream, replicator_name_);
  step_ = target_.create_stream(
      spec, [this](Result<StreamFigures> made) { on_target_info(std::move(made)); });
}

void StreamCopy::on_target_last(Result<StoredCopy> last) {
  if (last) {
    auto mark = find_provenance(last->headers, options_.stream, options_.name);
    if (mark) return begin_at({source_info_.created, mark->seq, last->seq});
  } else if (last.error().code != Errc::kNotFound) {
    return end_session(fmt::format("target's last message: {}", last.error().detail));
  }
  // Emptied, or its end was not written by us: only a remembered place can tell.
  if (remembered_ && remembered_->target_seq <= target_info_.last_seq &&
      (!last || last->seq <= remembered_->target_seq)) {
    return begin_at(*remembered_);
  }
  block(fmt::format("target stream '{}' {}, and no position of this copy is known: "
                    "give the copy an empty target stream",
                    options_.target_stream,
                    last ? "ends with a message that this copy did not write"
                         : "was emptied"));
}

void StreamCopy::begin_at(const CopyPosition& known) {
  if (remembered_ && remembered_->origin_created != source_info_.created) {
    return block(fmt::format("source stream '{}' was made anew since the last copy: its sequences "
                             "mean other messages now",
                             options_.stream));
  }
  if (known.source_seq > source_info_.last_seq) {
    return block(fmt::format("source stream '{}' ends at {} but {} was copied already: it was made anew or "
                             "restored to an older state",
                             options_.stream, source_info_.last_seq.value(), known.source_seq.value()));
  }
  position_ = known;
  position_.origin_created = source_info_.created;
  last_read_ = known.source_seq;
  last_delivery_ = {};
  // Only this copy writes there, so each sequence beyond the known pair is one source message more.
  to_skip_ = target_info_.last_seq.value() - known.target_seq.value();
  next_target_ = target_info_.last_seq.next();
  if (to_skip_ == 0) {
    figures_.source_seq = known.source_seq;
    figures_.target_seq = known.target_seq;
  }
  ConsumerSpec spec;
  spec.stream = options_.stream;
  spec.filter_subject = options_.filter_subject;
  spec.start_seq = known.source_seq.next();
  spec.ack_none = true;
  spec.inactive_threshold = 60s;
  step_ = source_.create_consumer(spec, [this](Result<std::string> name) { on_consumer(std::move(name)); });
}

void StreamCopy::on_consumer(Result<std::string> name) {
  if (!name) return end_session(fmt::format("source consumer: {}", name.error().detail));
  consumer_ = std::move(*name);
  figures_.state = CopyState::kCopying;
  SLUICE_LOG(log_, kInfo, "copying copy={} from={} source_seq={} target_seq={} skip={}", options_.name,
             source_.link().peer(), last_read_.value(), next_target_.value(), to_skip_);
  pull_ = source_.pull(
      options_.stream, consumer_, std::max<size_t>(options_.window_messages / 2, 1),
      [this](const ConsumedMessage& message) { on_message(message); },
      [this](const Error& trouble) { end_session(fmt::format("reading: {}", trouble.detail)); });
}

void StreamCopy::on_message(const ConsumedMessage& message) {
  if (figures_.state != CopyState::kCopying) return;
  if (message.stream_seq <= last_read_) {
    ++figures_.repeated;
    last_delivery_ = message.consumer_seq;
    return;
  }
  // The consumer numbers what it sends: a missing number is a message that got lost on the way.
  if (message.consumer_seq != last_delivery_.next()) {
    return end_session(fmt::format("a delivery is missing: expected {}, got {}",
                                   last_delivery_.next().value(), message.consumer_seq.value()));
  }
  last_delivery_ = message.consumer_seq;
  last_read_ = message.stream_seq;
  ++figures_.read;
  if (to_skip_ > 0) {
    if (--to_skip_ == 0) {
      position_.source_seq = message.stream_seq;
      position_.target_seq = target_info_.last_seq;
      figures_.source_seq = position_.source_seq;
      figures_.target_seq = position_.target_seq;
    }
    return;
  }
  waiting_.push_back({message.stream_seq, std::string(message.subject), std::string(message.headers),
                      std::string(message.payload)});
  Waiting& copy = waiting_.back();
  if (rename_ == message.stream_seq) {
    auto id = find_header(copy.headers, "Nats-Msg-Id");
    std::string original(id.value_or(""));
    set_header(copy.headers, "Nats-Msg-Id", fmt::format("{}:{}", options_.stream, message.stream_seq.value()));
    append_header(copy.headers, "Sluice-Original-Msg-Id", original);
    ++figures_.renamed_ids;
  }
  Provenance mark{options_.stream, message.stream_seq, replicator_name_, options_.name,
                  message.time / 1'000'000};
  // The fence is put in by publish(), which knows the target's sequence; the mark stands here.
  copy.headers = copy_headers(copy.headers, mark, StreamSeq(next_target_.value() - 1 + waiting_.size() - 1));
  waiting_bytes_ += copy.bytes();
  pump();
}

bool StreamCopy::window_full() const {
  return in_flight_.size() >= options_.window_messages ||
         (in_flight_bytes_ >= options_.window_bytes && !in_flight_.empty());
}

void StreamCopy::pump() {
  while (!waiting_.empty() && !window_full()) {
    Waiting message = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= message.bytes();
    publish(message);
  }
  // Reading stops while a whole window waits: memory is bounded by the windows, whatever the lag.
  bool should_pause = waiting_.size() >= options_.window_messages || waiting_bytes_ >= options_.window_bytes;
  if (pull_ && should_pause != paused_) {
    paused_ = should_pause;
    paused_ ? pull_->pause() : pull_->resume();
  }
}

void StreamCopy::publish(const Waiting& message) {
  StreamSeq target_seq = next_target_;
  next_target_ = next_target_.next();
  in_flight_.push_back({message.source_seq, target_seq, message.bytes(), false, {}});
  in_flight_bytes_ += message.bytes();
  in_flight_.back().ticket = target_.publish(
      {message.subject, "", message.headers, message.payload}, kPublishTimeout,
      [this, session = session_, target_seq](Result<PubAck> ack) {
        on_published(session, target_seq, std::move(ack));
      });
}

void StreamCopy::on_published(uint64_t session, StreamSeq target_seq, Result<PubAck> ack) {
  if (session != session_ || in_flight_.empty()) return;
  SLUICE_CHECK(target_seq >= in_flight_.front().target_seq);
  size_t index = target_seq.value() - in_flight_.front().target_seq.value();
  SLUICE_CHECK(index < in_flight_.size());
  InFlight& sent = in_flight_[index];
  if (!ack) {
    const Error& error = ack.error();
    if (is_fence_error(error)) return end_session("the target moved on: " + error.detail);
    return end_session(fmt::format("target refused source message {}: {}", sent.source_seq.value(), error.detail));
  }
  if (ack->duplicate) {
    // Same Nats-Msg-Id as an older, different message: the source's window had passed, the target's not.
    rename_ = sent.source_seq;
    return end_session(fmt::format("Nats-Msg-Id of source message {} is known to the target", sent.source_seq.value()));
  }
  if (ack->seq != target_seq || ack->stream != options_.target_stream) {
    return end_session(fmt::format("stored as {} {} instead of {} {}: is another stream listening on the subject?",
                                   ack->stream, ack->seq.value(), options_.target_stream, target_seq.value()));
  }
  sent.acked = true;
  sent.ticket.release();
  advance();
}

void StreamCopy::advance() {
  bool moved = false;
  while (!in_flight_.empty() && in_flight_.front().acked) {
    const InFlight& front = in_flight_.front();
    position_.source_seq = front.source_seq;
    position_.target_seq = front.target_seq;
    ++figures_.copied;
    figures_.copied_bytes += front.bytes;
    in_flight_bytes_ -= front.bytes;
    if (rename_ == front.source_seq) rename_.reset();
    in_flight_.pop_front();
    moved = true;
  }
  if (!moved) return;
  figures_.source_seq = position_.source_seq;
  figures_.target_seq = position_.target_seq;
  back_off_ = 0ns;
  schedule_position_write();
  if (stopped_) {
    if (in_flight_.empty()) finish_stop();
    return;
  }
  pump();
}

void StreamCopy::drop_session() {
  ++session_;
  pull_.reset();
  step_.cancel();
  in_flight_.clear();
  in_flight_bytes_ = 0;
  waiting_.clear();
  waiting_bytes_ = 0;
  paused_ = false;
  if (!consumer_.empty()) {
    source_.delete_consumer(options_.stream, consumer_, [](const Status&) {}).release();
    consumer_.clear();
  }
}

void StreamCopy::end_session(const std::string& why) {
  if (stopped_) return;
  if (figures_.last_error != why) {
    SLUICE_LOG(log_, kWarn, "copy pauses copy={} source_seq={} why=\"{}\"", options_.name,
               figures_.source_seq.value(), why);
  }
  figures_.last_error = why;
  figures_.state = CopyState::kBackingOff;
  back_off_ = std::clamp<std::chrono::nanoseconds>(back_off_ * 2, kFirstBackOff, kLongestBackOff);
  // The session's objects may be on the call stack: they go when the timer fires.
  ++session_;
  if (pull_) pull_->pause();
  retry_timer_->start(back_off_ / 2 + std::chrono::nanoseconds(env_.random.below(
                                          static_cast<uint64_t>(back_off_.count()))));
}

void StreamCopy::block(const std::string& why) {
  if (figures_.last_error != why) {
    SLUICE_LOG(log_, kError, "copy is blocked copy={} why=\"{}\"", options_.name, why);
  }
  figures_.last_error = why;
  figures_.state = CopyState::kBlocked;
  retry_timer_->start(kBlockedRetry);
}

void StreamCopy::schedule_position_write() {
  position_dirty_ = true;
  if (!state_dir_.empty() && !position_timer_->active()) position_timer_->start(kPositionInterval);
}

void StreamCopy::write_position_now() {
  if (position_writing_ || !position_dirty_ || state_dir_.empty()) return;
  position_writing_ = true;
  position_dirty_ = false;
  worker_->submit(
      [&disk = env_.disk, dir = state_dir_, name = options_.name + ".position", position = position_] {
        return write_position(disk, dir, name, position);
      },
      [this, written = position_](const Status& status) {
        position_writing_ = false;
        if (status) {
          remembered_ = written;
        } else {
          SLUICE_LOG(log_, kWarn, "position file could not be written copy={} error=\"{}\"", options_.name,
                     status.error().detail);
        }
        if (stopped_ && in_flight_.empty()) return finish_stop();
        if (position_dirty_) position_timer_->start(kPositionInterval);
      });
}

void StreamCopy::probe() {
  probe_timer_->start(kProbeInterval);
  probe_step_ = source_.stream_info(options_.stream, [this](const Result<StreamFigures>& info) {
    if (!info) {
      figures_.lag.reset();
      return;
    }
    uint64_t end = info->last_seq.value();
    figures_.lag = end > figures_.source_seq.value() ? end - figures_.source_seq.value() : 0;
  });
}

void StreamCopy::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  retry_timer_->stop();
  probe_timer_->stop();
  waiting_.clear();
  waiting_bytes_ = 0;
  if (pull_) pull_->pause();
  if (figures_.state != CopyState::kCopying) in_flight_.clear();
  stop_timer_->start(in_flight_.empty() ? 0ns : std::chrono::nanoseconds(kStopDeadline));
}

void StreamCopy::finish_stop() {
  if (!stopped_) return;
  if (position_dirty_ && !state_dir_.empty()) {
    write_position_now();
    return;
  }
  if (position_writing_) return;
  figures_.state = CopyState::kStopped;
  stop_timer_->stop();
  position_timer_->stop();
  auto done = std::exchange(stopped_, nullptr);
  done();
}

}  // namespace sluice
