#include "replicator/limiter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "replicator/position.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds kSaveInterval = 10s;
/// Above this many items the state is written less often: writing must not take the loop's time.
constexpr size_t kQuickSave_items = 50'000;
constexpr uint64_t kMaxState_bytes = 1024ull * 1024 * 1024;

std::string inspected_name(const InspectOptions& options) {
  if (!options.field.empty()) return options.field;
  if (!options.header.empty()) return options.header;
  return fmt::format("subject token {}", options.subject_token);
}

Result<std::string> read_whole(Disk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > kMaxState_bytes) return fail(Errc::kCorrupt, path + " is larger than 1 GiB");
  std::string text(*size, '\0');
  const auto read = (*file)->read_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  if (!read) return std::unexpected(read.error());
  text.resize(*read);
  return text;
}

}  // namespace

Result<std::unique_ptr<Limiter>> Limiter::make(Env& env, const StreamCopyOptions& options, const std::string& replicator,
                                               const std::string& state_dir, StreamClient& control) {
  auto inspector = Inspector::make(options.inspect);
  if (!inspector) return std::unexpected(inspector.error());
  return std::unique_ptr<Limiter>(new Limiter(env, options, replicator, state_dir, control, *std::move(inspector)));
}

Limiter::Limiter(Env& env, const StreamCopyOptions& options, const std::string& replicator, std::string state_dir,
                 StreamClient& control, Inspector inspector)
    : env_(env),
      options_(options.inspect),
      copy_id_(options.id()),
      state_dir_(std::move(state_dir)),
      gossip_subject_(fmt::format("choria.stream-replicator.sync.{}.{}", options.stream, options.name)),
      control_(control),
      inspector_(std::move(inspector)),
      tracker_(options_.max_tracked),
      worker_(env.disk_workers.make("tracker")),
      timer_(env.timers.make([this] { tick(); })) {
  if (!options_.advisory.subject.empty()) {
    advisor_ = std::make_unique<Advisor>(env, control, options_.advisory, inspected_name(options_), replicator);
  }
  if (!options_.state_bucket.empty())
    bucket_ = std::make_unique<TrackerBucket>(env, control, options_.state_bucket, copy_id_, options_.duration, tracker_);
}

void Limiter::start() {
  const std::string path = state_dir_ + "/" + file();
  if (!state_dir_.empty() && env_.disk.exists(path)) {
    const auto text = read_whole(env_.disk, path);
    const Status read = text ? decode_tracker(*text, tracker_) : std::unexpected(text.error());
    if (!read) {
      SLUICE_LOG(log_, kWarn, "state file is not used, every value counts as new copy={} error=\"{}\"", copy_id_,
                 read.error().detail);
    }
  }
  tracker_.saved();
  if (advisor_) {
    gossip_ = control_.link().subscribe(gossip_subject_, "", [this](const LinkMessage& message) {
      ++figures_.gossip_heard;
      if (!decode_gossip(message.payload, tracker_)) ++figures_.gossip_bad;
    });
  }
  if (bucket_) bucket_->start();
  tick();
}

void Limiter::rest() {
  active_ = false;
  if (advisor_) advisor_->drop_all();
  if (bucket_) bucket_->rest();
}

void Limiter::lead(uint64_t token, std::move_only_function<void()> on_ready) {
  active_ = true;
  if (bucket_) return bucket_->lead(token, std::move(on_ready));
  if (on_ready) on_ready();
}

WallNanos Limiter::decided(const std::string& value) const {
  const auto found = underway_.find(value);
  return found == underway_.end() ? kZeroTime : found->second.decided;
}

void Limiter::take(const std::string& value, WallNanos now) {
  Underway& underway = underway_[value];
  underway.decided = now;
  ++underway.count;
}

bool Limiter::should_copy(const TrackedItem* known, WallNanos copied, WallNanos now, double size) {
  if (copied == kZeroTime) return true;
  const int64_t period = options_.duration.count();
  const auto jitter = static_cast<int64_t>(env_.random.below(static_cast<uint64_t>(std::max<int64_t>(period / 10, 1))));
  const WallNanos deadline = now - (period - std::chrono::nanoseconds(1s).count() - jitter);
  if (copied < deadline || !known || known->seen < deadline) return true;
  if (known->size == 0 && size != 0) return true;
  return options_.size_trigger > 0 && std::abs(size - known->size) >= options_.size_trigger;
}

Limiter::Verdict Limiter::judge(std::string_view subject, std::string_view headers, std::string_view payload) {
  Inspected inspected = inspector_.look(subject, headers, payload);
  if (inspected.value.empty()) {
    ++figures_.without_value;
    return {};
  }
  const WallNanos now = env_.clock.wall();
  const auto size = static_cast<double>(payload.size());
  Verdict verdict{inspected.forced, std::move(inspected.value)};
  if (verdict.copy) ++figures_.forced;
  const TrackedItem* known = tracker_.find(verdict.value);
  const WallNanos copied = std::max(known ? known->copied : kZeroTime, decided(verdict.value));
  verdict.copy = verdict.copy || should_copy(known, copied, now, size);
  const auto before = tracker_.saw(verdict.value, now, size);
  tell_seen(verdict.value, before ? &*before : nullptr, now);
  if (verdict.copy) take(verdict.value, now);
  return verdict;
}

Limiter::Verdict Limiter::judge_again(std::string_view subject, std::string_view headers, std::string_view payload) {
  const WallNanos now = env_.clock.wall();
  Verdict verdict{true, value_of(subject, headers, payload)};
  const TrackedItem* known = tracker_.find(verdict.value);
  verdict.copy = should_copy(known, known ? known->copied : kZeroTime, now, static_cast<double>(payload.size()));
  if (verdict.copy) take(verdict.value, now);
  return verdict;
}

void Limiter::tell_seen(std::string_view value, const TrackedItem* before, WallNanos now) {
  if (!advisor_ || !active_) return;
  const TrackedItem& item = *tracker_.find(value);
  if (before == nullptr) {
    advisor_->tell(AgeEvent::kNew, value, item);
  } else if (before->advised || now - before->seen > options_.warn_after().count()) {
    advisor_->tell(AgeEvent::kRecover, value, *before);
  }
  (void)control_.link().publish({gossip_subject_, {}, {}, encode_gossip(value, item)});
}

void Limiter::copied(const std::string& value) {
  const auto found = underway_.find(value);
  if (found == underway_.end()) return;
  tracker_.copied(value, env_.clock.wall());
  if (--found->second.count == 0) underway_.erase(found);
}

void Limiter::vanished(const std::string& value) {
  const auto found = underway_.find(value);
  if (found != underway_.end() && --found->second.count == 0) underway_.erase(found);
}

void Limiter::tick() {
  const auto times = static_cast<int64_t>(1 + tracker_.size() / kQuickSave_items);
  timer_->start(kSaveInterval * times);
  // With a bucket it is the leader who tells, and the bucket that knows what was told: who rests keeps all for the day it leads.
  if (!bucket_ || bucket_->ready()) look_for_silence();
  save([] {});
}

void Limiter::look_for_silence() {
  tracker_.scrub(env_.clock.wall(), options_.warn_after(), options_.duration,
                 {.timed_out =
                      [this](std::string_view value, const TrackedItem& item) {
                        if (advisor_ && active_) advisor_->tell(AgeEvent::kTimeout, value, item);
                      },
                  .expired =
                      [this](std::string_view value, const TrackedItem& item) {
                        if (advisor_ && active_) advisor_->tell(AgeEvent::kExpire, value, item);
                        if (bucket_) bucket_->expired(value, item);
                      }});
}

void Limiter::save(std::move_only_function<void()> then) {
  if (saving_ || state_dir_.empty() || !tracker_.changed_since_save()) return env_.executor.post(std::move(then));
  saving_ = true;
  tracker_.saved();
  std::string text = tracker_.size() == 0 ? "" : encode_tracker(tracker_);
  worker_->submit(
      [&disk = env_.disk, dir = state_dir_, name = file(), text = std::move(text)]() -> Status {
        if (!text.empty()) return write_state_file(disk, dir, name, text);
        const std::string path = dir + "/" + name;
        return disk.exists(path) ? disk.remove(path) : Status{};
      },
      [this, done = std::move(then)](const Status& status) mutable {
        saving_ = false;
        if (!status) {
          ++figures_.save_failures;
          SLUICE_LOG(log_, kWarn, "state file could not be written copy={} error=\"{}\"", copy_id_,
                     status.error().detail);
        }
        auto finished = std::move(done);
        if (stopped_) {
          finished = std::exchange(stopped_, nullptr);
          return save(std::move(finished));
        }
        finished();
      });
}

void Limiter::stop(std::move_only_function<void()> done) {
  timer_->stop();
  gossip_.reset();
  if (advisor_) advisor_->drop_all();
  if (!bucket_) return save_file(std::move(done));
  bucket_->stop([this, then = std::move(done)]() mutable { save_file(std::move(then)); });
}

void Limiter::save_file(std::move_only_function<void()> done) {
  if (saving_) {
    stopped_ = std::move(done);
    return;
  }
  save(std::move(done));
}

}  // namespace sluice
