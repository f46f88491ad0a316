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
  tick();
}

void Limiter::set_active(bool active) {
  active_ = active;
  if (!active && advisor_) advisor_->drop_all();
}

bool Limiter::should_copy(std::string_view value, const TrackedItem* known, WallNanos now, double size) {
  WallNanos copied = known ? known->copied : kZeroTime;
  if (const auto found = underway_.find(std::string(value)); found != underway_.end())
    copied = std::max(copied, found->second.decided);
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
  verdict.copy = verdict.copy || should_copy(verdict.value, tracker_.find(verdict.value), now, size);
  const auto before = tracker_.saw(verdict.value, now, size);
  tell_seen(verdict.value, before ? &*before : nullptr, now);
  if (verdict.copy) {
    Underway& underway = underway_[verdict.value];
    underway.decided = now;
    ++underway.count;
  }
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
  tracker_.scrub(env_.clock.wall(), options_.warn_after(), options_.duration,
                 {.timed_out =
                      [this](std::string_view value, const TrackedItem& item) {
                        if (advisor_ && active_) advisor_->tell(AgeEvent::kTimeout, value, item);
                      },
                  .expired =
                      [this](std::string_view value, const TrackedItem& item) {
                        if (advisor_ && active_) advisor_->tell(AgeEvent::kExpire, value, item);
                      }});
  save([] {});
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
  if (saving_) {
    stopped_ = std::move(done);
    return;
  }
  save(std::move(done));
}

}  // namespace sluice
