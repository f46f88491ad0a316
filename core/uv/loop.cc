#include "uv/loop.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "uv/uv_handle.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;
constexpr Logger kLog{"uv"};
constexpr size_t kPhaseCount = 3;
/// Batches of one phase run at one round's end; what is enlisted after that waits for the next.
constexpr int kMaxRoundEndPasses = 64;
constexpr nanoseconds kSlowRoundLogGap = std::chrono::seconds(10);

using Task = std::move_only_function<void()>;

/// Runs all of `tasks`, which may meanwhile enlist more elsewhere. Keeps the capacity.
void run_all(std::vector<Task>& tasks) {
  for (Task& task : tasks) {
    Task running = std::move(task);
    running();
  }
  tasks.clear();
}

}  // namespace

class Loop::Rounds final : public Clock, public Executor {
 public:
  Rounds();
  ~Rounds() override;
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;

  MonoTime now() const override {
    if (!now_fresh_) {
      now_ = nanoseconds(static_cast<int64_t>(uv_hrtime()));
      now_fresh_ = true;
    }
    return now_;
  }

  WallNanos wall() const override {
    timespec ts{};
    clock_gettime(CLOCK_REALTIME, &ts);
    return WallNanos{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
  }

  void post(Task task) override {
    posted_.push_back(std::move(task));
    stay_awake();
  }

  void at_round_end(RoundPhase phase, Task task) override {
    phases_[static_cast<size_t>(phase)].push_back(std::move(task));
  }

  uv_loop_t* raw() { return &loop_; }
  const LoopLag& lag() const { return lag_; }

 private:
  void stay_awake() {
    if (!awake_) uv_idle_start(idle_.get(), &Rounds::on_idle);
    awake_ = true;
  }
  static void on_idle(uv_idle_t* handle) noexcept {
    static_cast<Rounds*>(handle->data)->run_posted();
  }
  static void on_prepare(uv_prepare_t* handle) noexcept {
    static_cast<Rounds*>(handle->data)->end_round();
  }
  /// After the poll callbacks libuv's time is still that of the poll's return, in milliseconds.
  static void on_check(uv_check_t* handle) noexcept {
    auto* self = static_cast<Rounds*>(handle->data);
    self->poll_returned_at_ = uv_now(&self->loop_) * 1'000'000;
  }
  void run_posted();
  void end_round();
  void measure();

  uv_loop_t loop_{};
  UvHandle<uv_prepare_t> prepare_;
  UvHandle<uv_check_t> check_;
  UvHandle<uv_idle_t> idle_;  // running while tasks wait: keeps poll from blocking
  bool awake_ = false;
  std::vector<Task> posted_;
  std::vector<Task> running_posted_;
  std::array<std::vector<Task>, kPhaseCount> phases_;
  std::array<std::vector<Task>, kPhaseCount> running_;
  mutable nanoseconds now_{0};
  mutable bool now_fresh_ = false;
  LoopLag lag_;
  uint64_t poll_returned_at_ = 0;  // 0 before the first poll
  nanoseconds slow_logged_at_ = nanoseconds::min();
};

Loop::Rounds::Rounds() {
  std::signal(SIGPIPE, SIG_IGN);
  SLUICE_CHECK(uv_loop_init(&loop_) == 0);
  SLUICE_CHECK(uv_prepare_init(&loop_, prepare_.get()) == 0);
  prepare_.armed(this);
  uv_prepare_start(prepare_.get(), &Rounds::on_prepare);
  uv_unref(prepare_.handle());
  SLUICE_CHECK(uv_check_init(&loop_, check_.get()) == 0);
  check_.armed(this);
  uv_check_start(check_.get(), &Rounds::on_check);
  uv_unref(check_.handle());
  SLUICE_CHECK(uv_idle_init(&loop_, idle_.get()) == 0);
  idle_.armed(this);
}

Loop::Rounds::~Rounds() {
  // Dropping tasks may drop what they captured, and that may post again: bounded by the captures.
  while (!posted_.empty() || !phases_[0].empty() || !phases_[1].empty() || !phases_[2].empty()) {
    std::exchange(posted_, {}).clear();
    for (auto& phase : phases_) std::exchange(phase, {}).clear();
  }
  prepare_.close();
  check_.close();
  idle_.close();
  uv_walk(
      &loop_,
      [](uv_handle_t* handle, void*) {
        if (uv_is_closing(handle) != 0) return;
        SLUICE_LOG(kLog, kError, "handle still open when the loop closes type={}",
                   uv_handle_type_name(uv_handle_get_type(handle)));
        SLUICE_CHECK(false && "open handle at the end of the loop");
      },
      nullptr);
  uv_run(&loop_, UV_RUN_DEFAULT);
  SLUICE_CHECK(uv_loop_close(&loop_) == 0);
}

void Loop::Rounds::run_posted() {
  running_posted_.swap(posted_);
  run_all(running_posted_);
  if (posted_.empty()) {
    uv_idle_stop(idle_.get());
    awake_ = false;
  }
}

void Loop::Rounds::end_round() {
  int passes = 0;
  for (size_t phase = 0; phase < kPhaseCount;) {
    if (phases_[phase].empty()) {
      ++phase;
      continue;
    }
    if (++passes > kMaxRoundEndPasses) {
      ++lag_.round_end_cut_short;
      stay_awake();
      break;
    }
    running_[phase].swap(phases_[phase]);
    run_all(running_[phase]);
    phase = 0;  // a later phase may have enlisted for an earlier one
  }
  measure();
  now_fresh_ = false;
}

void Loop::Rounds::measure() {
  ++lag_.rounds;
  if (poll_returned_at_ == 0) return;
  uint64_t ended_at = uv_hrtime();
  lag_.last = nanoseconds(
      static_cast<int64_t>(ended_at > poll_returned_at_ ? ended_at - poll_returned_at_ : 0));
  lag_.max = std::max(lag_.max, lag_.last);
  if (lag_.last <= kLoopLagAlarm) return;
  ++lag_.slow_rounds;
  nanoseconds when(static_cast<int64_t>(ended_at));
  if (slow_logged_at_ != nanoseconds::min() && when - slow_logged_at_ < kSlowRoundLogGap) return;
  slow_logged_at_ = when;
  SLUICE_LOG(kLog, kWarn, "the loop was busy for long busy_ms={} slow_rounds={}",
             lag_.last.count() / 1'000'000, lag_.slow_rounds);
}

Loop::Loop() : rounds_(std::make_unique<Rounds>()) {}
Loop::~Loop() = default;

void Loop::run() { uv_run(rounds_->raw(), UV_RUN_DEFAULT); }

void Loop::stop() { uv_stop(rounds_->raw()); }

bool Loop::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  UvHandle<uv_timer_t> guard;
  bool timed_out = false;
  SLUICE_CHECK(uv_timer_init(rounds_->raw(), guard.get()) == 0);
  guard.armed(&timed_out);
  uv_update_time(rounds_->raw());
  uv_timer_start(
      guard.get(), [](uv_timer_t* timer) { *static_cast<bool*>(timer->data) = true; },
      static_cast<uint64_t>(limit.count()), 0);
  while (!done()) {
    if (timed_out) return false;
    uv_run(rounds_->raw(), UV_RUN_ONCE);
  }
  return true;
}

Clock& Loop::clock() { return *rounds_; }
Executor& Loop::executor() { return *rounds_; }
const LoopLag& Loop::lag() const { return rounds_->lag(); }
uv_loop_s* Loop::raw() { return rounds_->raw(); }

void Loop::collect(MetricSink& sink) const {
  auto seconds = [](nanoseconds t) { return std::chrono::duration<double>(t).count(); };
  const LoopLag& l = lag();
  sink.gauge("sluice_loop_lag_seconds", "Time the last round kept the loop busy.", {},
             seconds(l.last));
  sink.gauge("sluice_loop_lag_max_seconds", "Longest round since the start.", {}, seconds(l.max));
  sink.counter("sluice_loop_rounds_total", "Rounds of the loop.", {},
               static_cast<double>(l.rounds));
  sink.counter("sluice_loop_slow_rounds_total", "Rounds that kept the loop busy over 50 ms.", {},
               static_cast<double>(l.slow_rounds));
  sink.counter("sluice_loop_round_end_cut_short_total",
               "Rounds whose end left work for the next one.", {},
               static_cast<double>(l.round_end_cut_short));
}

}  // namespace sluice
