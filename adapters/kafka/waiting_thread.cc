#include "adapters/kafka/waiting_thread.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace sluice {
namespace {

constexpr size_t kMaxTold_count = 64;  ///< far more than anybody has under way

}  // namespace

struct WaitingThread::Shared {
  using Told = std::move_only_function<void()>;
  std::mutex lock;
  std::condition_variable wake;
  std::deque<std::move_only_function<Told()>> tasks;
  bool ended = false;
  std::shared_ptr<Mailbox> mailbox;

  void work() {
    std::unique_lock held(lock);
    for (;;) {
      wake.wait(held, [this] { return ended || !tasks.empty(); });
      if (tasks.empty()) return;
      auto task = std::move(tasks.front());
      tasks.pop_front();
      held.unlock();
      Told told = task();
      task = nullptr;
      held.lock();
      if (told && !ended) (void)mailbox->post(std::move(told));  // refused only when the loop is gone
    }
  }
};

WaitingThread::WaitingThread(Env& env) : shared_(std::make_shared<Shared>()) {
  shared_->mailbox = env.mailboxes.make(kMaxTold_count);
  std::thread([shared = shared_] { shared->work(); }).detach();
}

WaitingThread::~WaitingThread() {
  const std::lock_guard held(shared_->lock);
  shared_->ended = true;
  shared_->mailbox.reset();
  shared_->wake.notify_one();
}

void WaitingThread::run(std::move_only_function<std::move_only_function<void()>()> task) {
  const std::lock_guard held(shared_->lock);
  shared_->tasks.push_back([alive = std::weak_ptr<char>(alive_), work = std::move(task)]() mutable {
    auto told = work();
    return std::move_only_function<void()>([alive, then = std::move(told)]() mutable {
      if (then && !alive.expired()) then();
    });
  });
  shared_->wake.notify_one();
}

}  // namespace sluice
