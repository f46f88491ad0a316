#include "sim/sim_loop.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::sim {

void SimClock::set_now(MonoTime now) {
  SLUICE_CHECK(now >= now_);
  now_ = now;
}

SimEvents::Id SimEvents::schedule(Kind kind, MonoTime at, std::move_only_function<void()> run) {
  const Id id = ++last_id_;
  const uint64_t tie = kind == Kind::kTimer ? id : random_.u64();
  const Key key{std::max(at, clock_.now()), kind, tie, id};
  queue_.emplace(key, std::move(run));
  by_id_.emplace(id, key);
  if (kind == Kind::kIo) ++pending_io_;
  return id;
}

void SimEvents::cancel(Id id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  const auto place = queue_.find(found->second);
  if (std::get<1>(place->first) == Kind::kIo) --pending_io_;
  auto dropped = std::move(place->second);  // destroyed last: it may own who calls us
  queue_.erase(place);
  by_id_.erase(found);
}

bool SimEvents::run_one_due() {
  if (!any_due()) return false;
  const auto first = queue_.begin();
  if (std::get<1>(first->first) == Kind::kIo) --pending_io_;
  by_id_.erase(std::get<3>(first->first));
  auto run = std::move(first->second);
  queue_.erase(first);
  run();
  return true;
}

void SimEvents::drop_all() {
  while (!queue_.empty()) {  // what goes may schedule
    by_id_.clear();
    pending_io_ = 0;
    const auto dropped = std::exchange(queue_, {});
  }
}

bool SimEvents::next_time(MonoTime& at) const {
  if (queue_.empty()) return false;
  at = std::get<0>(queue_.begin()->first);
  return true;
}

namespace {

class SimTimer : public Timer {
 public:
  SimTimer(SimEvents& events, std::move_only_function<void()> fire)
      : events_(events),
        fire_(std::make_shared<std::move_only_function<void()>>(std::move(fire))) {}
  SimTimer(const SimTimer&) = delete;
  SimTimer& operator=(const SimTimer&) = delete;
  ~SimTimer() override { stop(); }

  void start(std::chrono::nanoseconds delay) override {
    stop();
    const MonoTime now = events_.clock().now();
    const MonoTime longest = MonoTime::max() - now;
    const MonoTime at = now + std::clamp(delay, std::chrono::nanoseconds(0), longest);
    // Shared, because the callback may destroy this timer while it runs.
    event_ = events_.schedule(SimEvents::Kind::kTimer, at, [fire = fire_] { (*fire)(); });
  }
  void stop() override { events_.cancel(std::exchange(event_, 0)); }
  bool active() const override { return events_.pending(event_); }

 private:
  SimEvents& events_;
  std::shared_ptr<std::move_only_function<void()>> fire_;
  SimEvents::Id event_ = 0;
};

class SimMailbox : public Mailbox, public std::enable_shared_from_this<SimMailbox> {
 public:
  SimMailbox(SimExecutor& executor, size_t max_count)
      : executor_(executor), max_count_(max_count) {}

  bool post(std::move_only_function<void()> task) override {
    if (tasks_.size() >= max_count_) return false;
    tasks_.push_back(std::move(task));
    if (tasks_.size() == 1) {
      executor_.post([self = weak_from_this()] {
        if (const auto box = self.lock()) box->drain();
      });
    }
    return true;
  }
  size_t size() const override { return tasks_.size(); }

 private:
  void drain() {
    auto batch = std::exchange(tasks_, {});
    for (auto& task : batch) task();
  }
  SimExecutor& executor_;
  size_t max_count_;
  std::deque<std::move_only_function<void()>> tasks_;
};

}  // namespace

std::unique_ptr<Timer> SimTimers::make(std::move_only_function<void()> fire) {
  return std::make_unique<SimTimer>(events_, std::move(fire));
}

void SimExecutor::post(std::move_only_function<void()> task) { posted_.push_back(std::move(task)); }

void SimExecutor::at_round_end(RoundPhase phase, std::move_only_function<void()> task) {
  phases_.at(static_cast<size_t>(phase)).push_back(std::move(task));
}

bool SimExecutor::idle() const {
  return posted_.empty() &&
         std::all_of(phases_.begin(), phases_.end(), [](const auto& tasks) { return tasks.empty(); });
}

void SimExecutor::run_posted() {
  for (size_t left = posted_.size(); left > 0 && !posted_.empty(); --left) {
    auto task = std::move(posted_.front());
    posted_.pop_front();
    task();
  }
}

void SimExecutor::run_round_end() {
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    const auto phase = std::find_if(phases_.begin(), phases_.end(),
                                    [](const auto& tasks) { return !tasks.empty(); });
    if (phase == phases_.end()) return;
    auto tasks = std::exchange(*phase, {});
    for (auto& task : tasks) task();
  }
}

void SimExecutor::drop_all() {
  // A dropped task's destructor may post; so until nothing is left.
  while (!idle()) {
    auto posted = std::exchange(posted_, {});
    auto phases = std::exchange(phases_, {});
  }
}

std::shared_ptr<Mailbox> SimMailboxes::make(size_t max_count) {
  return std::make_shared<SimMailbox>(executor_, max_count);
}

class SimPoller::Handle : public PollHandle {
 public:
  explicit Handle(std::shared_ptr<Watch> watch) : watch_(std::move(watch)) {}
  void want(bool readable, bool writable) override {
    watch_->readable = readable;
    watch_->writable = writable;
  }

 private:
  std::shared_ptr<Watch> watch_;
};

std::unique_ptr<PollHandle> SimPoller::watch(int fd, std::move_only_function<void(bool, bool)> ready) {
  auto watch = std::make_shared<Watch>();
  watch->fd = fd;
  watch->ready = std::move(ready);
  std::erase_if(watches_, [](const auto& old) { return old.expired(); });
  watches_.push_back(watch);
  return std::make_unique<Handle>(std::move(watch));
}

bool SimPoller::fire(int fd, bool readable, bool writable) {
  for (const auto& weak : std::vector(watches_)) {
    const auto watch = weak.lock();
    if (!watch || watch->fd != fd) continue;
    const bool read = readable && watch->readable;
    const bool write = writable && watch->writable;
    if (!read && !write) continue;
    watch->ready(read, write);
    return true;
  }
  return false;
}

}  // namespace sluice::sim
