#include "uv/disk_worker.h"

#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "uv/uv_handle.h"

namespace sluice {
namespace {

/// Callers keep a handful of jobs under way; more than this is a bug of ours.
constexpr size_t kMaxJobs = 65'536;

struct Job {
  std::move_only_function<Status()> work;
  std::move_only_function<void(Status)> done;
  Status result;
};

class UvDiskWorker final : public DiskWorker {
 public:
  UvDiskWorker(Loop& loop, std::string name) {
    SLUICE_CHECK(uv_async_init(loop.raw(), finished_async_.get(), &UvDiskWorker::on_finished) == 0);
    finished_async_.armed(this);
    uv_unref(finished_async_.handle());
    thread_ = std::thread([this, name = std::move(name)] { serve(name); });
  }

  ~UvDiskWorker() override {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
    if (destroyed_ != nullptr) *destroyed_ = true;
  }
  UvDiskWorker(const UvDiskWorker&) = delete;
  UvDiskWorker& operator=(const UvDiskWorker&) = delete;

  void submit(std::move_only_function<Status()> work,
              std::move_only_function<void(Status)> done) override {
    SLUICE_CHECK(under_way_ < kMaxJobs);
    if (under_way_++ == 0) uv_ref(finished_async_.handle());
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back(Job{std::move(work), std::move(done), {}});
    }
    wake_.notify_one();
  }

 private:
  void serve(const std::string& name) {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals belong to the loop's thread
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      Job job = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      job.result = job.work();
      lock.lock();
      finished_.push_back(std::move(job));
      if (!ending_) uv_async_send(finished_async_.get());
    }
  }

  static void on_finished(uv_async_t* handle) noexcept {
    auto* self = static_cast<UvDiskWorker*>(handle->data);
    if (self != nullptr) self->report();
  }

  void report() {
    std::vector<Job> jobs;
    {
      std::lock_guard lock(mutex_);
      jobs.swap(finished_);
    }
    under_way_ -= jobs.size();
    if (under_way_ == 0) uv_unref(finished_async_.handle());
    bool destroyed = false;
    destroyed_ = &destroyed;
    for (Job& job : jobs) {
      job.done(std::move(job.result));  // may submit more, or destroy the worker
      if (destroyed) return;
    }
    destroyed_ = nullptr;
  }

  UvHandle<uv_async_t> finished_async_;
  size_t under_way_ = 0;       // loop only
  bool* destroyed_ = nullptr;  // loop only: set by the destructor while report() runs
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> waiting_;    // guarded by mutex_
  std::vector<Job> finished_;  // guarded by mutex_
  bool ending_ = false;        // guarded by mutex_
  std::thread thread_;
};

class UvDiskWorkers final : public DiskWorkers {
 public:
  explicit UvDiskWorkers(Loop& loop) : loop_(loop) {}
  std::unique_ptr<DiskWorker> make(std::string_view name) override {
    return std::make_unique<UvDiskWorker>(loop_, std::string(name));
  }

 private:
  Loop& loop_;
};

}  // namespace

std::unique_ptr<DiskWorkers> make_disk_workers(Loop& loop) {
  return std::make_unique<UvDiskWorkers>(loop);
}

}  // namespace sluice
