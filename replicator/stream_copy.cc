#include "replicator/stream_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "replicator/copy_subjects.h"
#include "replicator/provenance.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstBackOff = 100ms;
constexpr auto kLongestBackOff = 5s;
constexpr auto kBlockedRetry = 30s;
constexpr auto kPositionInterval = 1s;
constexpr auto kStopDeadline = 2s;

}  // namespace

const char* to_string(CopyState state) {
  switch (state) {
    case CopyState::kStopped: return "stopped";
    case CopyState::kPaused: return "paused";
    case CopyState::kLocating: return "locating";
    case CopyState::kCopying: return "copying";
    case CopyState::kBackingOff: return "backing off";
    case CopyState::kBlocked: return "blocked";
  }
  return "unknown";
}

StreamCopy::StreamCopy(Env& env, StreamCopyOptions options, std::string replicator_name, std::string state_dir,
                       Sites sites, std::unique_ptr<Limiter> limiter)
    : env_(env),
      options_([&] {
        if (options.target_stream.empty()) options.target_stream = options.stream;
        if (options.name.empty()) options.name = replicator_name;
        return std::move(options);
      }()),
      copy_{options_.stream, StreamSeq(), std::move(replicator_name), options_.name, 0},
      state_dir_(std::move(state_dir)),
      sites_(sites),
      limiter_(std::move(limiter)),
      worker_(env.disk_workers.make("replicator")),
      retry_timer_(env.timers.make([this] { locate(); })),
      position_timer_(env.timers.make([this] { write_position_now(); })),
      stop_timer_(env.timers.make([this] { finish_stop(); })),
      lag_(env, sites.control, options_,
           {.passed = [this] { return figures_.position.source_seq; },
            .life = [this] { return figures_.position.origin_created; },
            .oldest_time = [this] { return writer_ ? writer_->oldest_time() : WallNanos(0); },
            .on_nothing_before = [this](StreamSeq through) { pass_nothing(through); },
            .on_change =
                [this](bool stalled) {
                  if (!stalled) {
                    SLUICE_LOG(log_, kInfo, "copy goes on again copy={}", options_.id());
                    return;
                  }
                  SLUICE_LOG(log_, kError, "copy has stalled copy={} why=\"{}\" last_error=\"{}\"", options_.id(),
                             lag_.figures().why_stalled, figures_.last_error);
                }}) {}

StreamCopy::~StreamCopy() { drop_session(); }

Status StreamCopy::start(bool is_leading) {
  auto rewrite = SubjectRewrite::make(rewrite_rules(options_));
  if (!rewrite) return std::unexpected(rewrite.error());
  rewrite_ = *std::move(rewrite);
  if (options_.pace.enabled()) {
    auto pace = Pace::make(options_.pace);
    if (!pace) return std::unexpected(pace.error());
    pace_ = *std::move(pace);
  }
  if (!options_.fence_subject.empty() && options_.target_writers != TargetWriters::kExclusive)
    fence_ = std::make_unique<CopyFence>(env_, sites_.target, options_.target_stream, options_.fence_subject, copy_);
  begin_anew_ = options_.ephemeral;
  if (!state_dir_.empty() && !options_.ephemeral) {
    auto found = read_position(env_.disk, state_dir_ + "/" + position_file());
    if (found) {
      remembered_ = *found;
      figures_.position = *found;
    } else if (found.error().code != Errc::kNotFound) {
      SLUICE_LOG(log_, kWarn, "position file is not used copy={} error=\"{}\"", options_.id(), found.error().detail);
    }
  }
  // A link that comes back ends the pause: there is nothing to wait for any more.
  auto hurry = [this](LinkState state) {
    if (state == LinkState::kConnected && figures_.state == CopyState::kBackingOff) retry_timer_->start(kFirstBackOff);
  };
  source_state_ = sites_.source.link().on_state(hurry);
  target_state_ = sites_.target.link().on_state(hurry);
  started_ = true;
  leads_ = is_leading;
  run_or_rest();
  return {};
}

const CopyFigures& StreamCopy::figures() {
  figures_.in_flight = writer_ ? writer_->in_flight_messages() : 0;
  figures_.waiting = (writer_ ? writer_->waiting_messages() : 0) + held_.size();
  figures_.window_bytes = writer_ ? writer_->window_bytes() : 0;
  figures_.sent_bytes = sent_before_bytes_ + (writer_ ? writer_->sent_bytes() : 0);
  figures_.source_link = sites_.source.link().traffic();
  figures_.target_link = sites_.target.link().traffic();
  figures_.pace_rate = pace_ ? pace_->rate_at(env_.clock.wall()) : 0;
  return figures_;
}

void StreamCopy::set_leading(bool leads, uint64_t token) {
  if (fence_ && leads) fence_->begin_term(token);
  if (std::exchange(leads_, leads) != leads) run_or_rest();
}

void StreamCopy::set_paused(bool paused) {
  if (std::exchange(paused_, paused) != paused) run_or_rest();
}

void StreamCopy::set_ready(bool ready) {
  if (std::exchange(ready_, ready) != ready) run_or_rest();
}

void StreamCopy::reset(std::optional<StreamSeq> from) {
  SLUICE_LOG(log_, kInfo, "copy begins anew copy={} from={}", options_.id(), from ? from->value() : 0);
  begin_at_ = from;
  begin_anew_ = !from;
  forget_chosen(0, UINT64_MAX, false);
  judged_through_ = 0;
  if (should_run()) locate();
}

void StreamCopy::run_or_rest() {
  if (!started_ || stopped_) return;
  if (should_run()) {
    lag_.start();
    back_off_ = 0ns;
    return locate();
  }
  SLUICE_LOG(log_, kInfo, "copy rests copy={} why={}", options_.id(),
             paused_ ? "paused" : leads_ ? "the sampling state is read" : "another one leads");
  drop_session();
  retry_timer_->stop();
  lag_.rest();
  figures_.state = CopyState::kPaused;
  if (position_dirty_) write_position_now();
}

void StreamCopy::locate() {
  drop_session();
  if (!should_run()) return;
  figures_.state = CopyState::kLocating;
  ++figures_.sessions;
  resume_ = std::make_unique<ResumePoint>(
      env_, sites_.source, sites_.target, options_, rewrite_, copy_,
      ResumePoint::Known{.remembered = remembered_,
                         .begin_anew = begin_anew_,
                         .begin_at = begin_at_,
                         .look_at_config = options_.create_target && !config_looked_at_,
                         .fence = fence_.get()},
      ResumePoint::Events{.on_found = [this](ResumePlan plan) { begin(std::move(plan)); },
                          .on_failed = [this](const std::string& why) { end_session(why); },
                          .on_blocked = [this](const std::string& why) { block(why); },
                          .on_differences =
                              [this](const std::vector<ConfigDifference>& differences) {
                                config_looked_at_ = true;
                                figures_.config_differences = differences;
                                for (const ConfigDifference& d : differences) {
                                  SLUICE_LOG(log_, kInfo, "target stream differs copy={} field={} source={} target={}",
                                             options_.id(), d.field, d.source, d.target);
                                }
                              }});
  resume_->ask();
}

void StreamCopy::begin(ResumePlan plan) {
  if (const std::string why = why_no_queue(plan); !why.empty()) return block(why);
  is_queue_ = plan.source.retention != StreamRetention::kLimits;
  is_into_queue_ = plan.target.retention != StreamRetention::kLimits;
  written_ = StreamSeq();
  if (!plan.gap.empty()) note_gap(plan.gap);
  target_attempt_id_ = plan.target.last_seq.value();
  if (begin_anew_ || begin_at_) rename_through_ = plan.source.last_seq;
  begin_anew_ = false;
  begin_at_.reset();
  if (plan.position.origin_created != figures_.position.origin_created ||
      plan.position.source_seq < figures_.position.source_seq) {
    forget_chosen(0, UINT64_MAX, false);
    judged_through_ = 0;
    singly_through_ = StreamSeq();
  }
  // Copied without that we heard of it, or gone at the source.
  forget_chosen(0, plan.position.source_seq.value() + 1, plan.gap.empty());
  ahead_ = plan.position;
  figures_.position = plan.position;
  remembered_ = plan.position;
  is_anchored_ = plan.is_anchored;
  on_target_ = std::move(plan.on_target);
  newest_on_target_ = std::move(plan.newest_on_target);
  last_on_target_ = on_target_.empty() ? 0 : on_target_.ranges().rbegin()->second;
  schedule_position_write();
  write_position_now();

  writer_ = std::make_unique<TargetWriter>(
      env_, sites_.target,
      WriterPlan{.target_stream = options_.target_stream,
                 .copy = copy_,
                 .origin_created = plan.source.created,
                 .target_last = plan.target.last_seq,
                 .taken_after = plan.position.target_seq,
                 .shared = plan.position.shared,
                 .batches = plan.target.allow_atomic,
                 .singly_through = singly_through_,
                 .alone = options_.target_writers == TargetWriters::kExclusive,
                 .fence_subject = options_.fence_subject,
                 .fence = plan.fence,
                 .one_fenced = one_fenced_,
                 .may_write = may_write_,
                 .max_messages = options_.window_messages,
                 .max_bytes = options_.window_bytes,
                 .idle_trip = plan.target_trip,
                 .pace = pace_ ? &*pace_ : nullptr},
      TargetWriter::Events{
          .on_settled = [this](const CopyItem& item, StreamSeq target_seq) { on_settled(item, target_seq); },
          .on_progress = [this] { on_progress(); },
          .on_paced = [this] { lag_.progressed(); },
          .on_failed = [this](const WriteFailure& failure) { on_failed(failure); }});
  read_source(plan);
  figures_.state = CopyState::kCopying;
  SLUICE_LOG(log_, kInfo, "copying copy={} from={} source_seq={} target_seq={} shared={} on_target={}", options_.id(),
             sites_.source.link().peer(), ahead_.source_seq.value(), plan.target.last_seq.value(), ahead_.shared,
             on_target_.size());
  reader_->start();
}

void StreamCopy::on_settled(const CopyItem& item, StreamSeq target_seq) {
  CopyPosition& position = figures_.position;
  ++figures_.processed;
  figures_.processing_seconds += std::chrono::duration<double>(env_.clock.now() - taken_at_.front()).count();
  taken_at_.pop_front();
  position.source_seq = item.source_seq;
  count(position.ledger, item);
  // On a shared target nothing of ours may lie beyond target_seq that is not counted yet.
  if (!target_seq.is_zero() && (!position.shared || item.source_seq.value() >= last_on_target_))
    position.target_seq = std::max(position.target_seq, target_seq);
  if (limiter_) chosen_.erase(item.source_seq.value());
  switch (item.outcome) {
    case Outcome::kCopied:
      ++figures_.copied;
      figures_.copied_bytes += item.size_bytes;
      figures_.last_latency_seconds = static_cast<double>(std::max<WallNanos>(env_.clock.wall() - item.source_time, 0)) / 1e9;
      if (limiter_ && !item.value.empty()) limiter_->copied(item.value);
      break;
    case Outcome::kSampled:
      ++figures_.skipped;
      figures_.skipped_bytes += item.size_bytes;
      break;
    case Outcome::kFiltered: break;
    case Outcome::kExpired: ++figures_.expired; break;
    case Outcome::kDeadLettered:
      SLUICE_LOG(log_, kWarn, "message goes to the dead letters copy={} source_seq={} why=\"{}\"", options_.id(),
                 item.source_seq.value(), refusal_);
      break;
  }
  if (rename_ == item.source_seq) rename_.reset();
  if (refused_ == item.source_seq) refused_ = StreamSeq();
}

void StreamCopy::on_progress() {
  remembered_ = figures_.position;
  back_off_ = 0ns;
  lag_.progressed();
  schedule_position_write();
  if (stopped_) {
    if (writer_->idle()) stop_timer_->start(0ns);  // the writer is on the stack
    return;
  }
  if (reading_paused_ && reader_ && !writer_->is_full()) {
    reading_paused_ = false;
    reader_->resume();
  }
}

void StreamCopy::on_failed(const WriteFailure& failure) {
  switch (failure.kind) {
    case WriteFailure::Kind::kDuplicate:
      rename_ = failure.source_seq;
      break;
    case WriteFailure::Kind::kRefused:
      refusals_ = refused_ == failure.source_seq ? refusals_ + 1 : 1;
      refused_ = failure.source_seq;
      refusal_ = failure.why;
      std::replace_if(refusal_.begin(), refusal_.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
      break;
    case WriteFailure::Kind::kBatch:
      singly_through_ = failure.source_seq;
      break;
    case WriteFailure::Kind::kFenced:
      fence_->refused();
      ++figures_.fence_refused;
      break;
    case WriteFailure::Kind::kFenceBusy:
      one_fenced_ = true;
      break;
    case WriteFailure::Kind::kNoAnswer:
    case WriteFailure::Kind::kMovedOn:
    case WriteFailure::Kind::kElsewhere:
      break;
  }
  end_session(failure.why);
}

void StreamCopy::drop_session() {
  if (reader_) figures_.repeated += reader_->repeated();
  if (writer_) sent_before_bytes_ += writer_->sent_bytes();
  first_of_source_.cancel();
  asking_first_ = false;
  reading_paused_ = false;
  reader_.reset();
  writer_.reset();
  resume_.reset();
  held_.clear();
  taken_at_.clear();
  on_target_.clear();
  newest_on_target_.clear();
}

void StreamCopy::end_session(const std::string& why) {
  if (stopped_) return stop_timer_->start(0ns);
  if (figures_.state == CopyState::kBackingOff) return;
  if (figures_.last_error != why) {
    SLUICE_LOG(log_, kWarn, "copy pauses copy={} source_seq={} why=\"{}\"", options_.id(),
               figures_.position.source_seq.value(), why);
  }
  figures_.last_error = why;
  ++figures_.failures;
  figures_.state = CopyState::kBackingOff;
  back_off_ = std::clamp<std::chrono::nanoseconds>(back_off_ * 2, kFirstBackOff, kLongestBackOff);
  // The session's objects may be on the call stack: they go when the timer fires.
  if (reader_) reader_->pause();
  retry_timer_->start(back_off_ / 2 + std::chrono::nanoseconds(env_.random.below(
                                          static_cast<uint64_t>(back_off_.count()))));
}

void StreamCopy::block(const std::string& why) {
  if (figures_.last_error != why) {
    SLUICE_LOG(log_, kError, "copy is blocked copy={} why=\"{}\"", options_.id(), why);
  }
  figures_.last_error = why;
  figures_.state = CopyState::kBlocked;
  retry_timer_->start(kBlockedRetry);
}

void StreamCopy::schedule_position_write() {
  position_dirty_ = true;
  if (!state_dir_.empty() && !position_timer_->active()) position_timer_->start(position_interval());
}

/// A queue as the source waits for it, of one as the target it is all that is known: there, one write follows the other.
std::chrono::nanoseconds StreamCopy::position_interval() const {
  return is_queue_ || is_into_queue_ ? std::chrono::nanoseconds(0) : kPositionInterval;
}

void StreamCopy::write_position_now() {
  if (position_writing_ || !position_dirty_ || state_dir_.empty()) return;
  position_writing_ = true;
  position_dirty_ = false;
  CopyPosition position = figures_.position;
  position.source_end = std::max(position.source_end, lag_.figures().source_end);
  worker_->submit(
      [&disk = env_.disk, dir = state_dir_, name = position_file(), text = encode_position(position)] {
        return write_state_file(disk, dir, name, text);
      },
      [this, settled = position.source_seq, life = position.origin_created](const Status& status) {
        position_writing_ = false;
        if (status && is_queue_ && reader_ && life == figures_.position.origin_created) {
          written_ = settled;
          reader_->settled(settled);
        }
        if (!status) {
          SLUICE_LOG(log_, kWarn, "position file could not be written copy={} error=\"{}\"", options_.id(),
                     status.error().detail);
        }
        if (stopped_ && !stop_timer_->active()) return finish_stop();
        if (position_dirty_) position_timer_->start(status ? position_interval() : kPositionInterval);
      });
}

void StreamCopy::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  retry_timer_->stop();
  lag_.rest();
  held_.clear();
  if (reader_) reader_->pause();
  if (writer_) writer_->drop_waiting();
  const bool waits = figures_.state == CopyState::kCopying && writer_ && !writer_->idle();
  stop_timer_->start(waits ? std::chrono::nanoseconds(kStopDeadline) : 0ns);
}

void StreamCopy::finish_stop() {
  if (!stopped_) return;
  if (position_writing_) return;
  if (position_dirty_ && !state_dir_.empty()) return write_position_now();
  figures_.state = CopyState::kStopped;
  stop_timer_->stop();
  position_timer_->stop();
  auto done = std::exchange(stopped_, nullptr);
  started_ = false;
  done();
}

}  // namespace sluice
