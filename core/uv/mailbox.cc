#include "uv/mailbox.h"

#include <atomic>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "uv/uv_handle.h"

namespace sluice {
namespace {

using Task = std::move_only_function<void()>;

/// What both sides share. The async handle is closed on the loop, `open` turned off before, so that
/// no post can touch a closed handle.
struct Box {
  explicit Box(size_t max) : max_count(max) {}
  const size_t max_count;
  mutable std::mutex mutex;
  std::vector<Task> waiting;            // guarded by mutex
  bool open = true;                     // guarded by mutex
  bool wake_sent = false;               // guarded by mutex
  UvHandle<uv_async_t> async;           // closed and replaced only on the loop
  std::atomic<bool> abandoned = false;  // the front object is gone: close on the next wake-up
  std::vector<Task> running;            // loop only
};

class Front final : public Mailbox {
 public:
  Front(std::shared_ptr<Box> box, std::shared_ptr<std::atomic<uint64_t>> refused)
      : box_(std::move(box)), refused_(std::move(refused)) {}
  ~Front() override {
    std::lock_guard lock(box_->mutex);
    box_->abandoned = true;
    if (box_->open) uv_async_send(box_->async.get());
  }
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  bool post(Task task) override {
    std::lock_guard lock(box_->mutex);
    if (!box_->open || box_->waiting.size() >= box_->max_count) {
      refused_->fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    box_->waiting.push_back(std::move(task));
    if (!std::exchange(box_->wake_sent, true)) uv_async_send(box_->async.get());
    return true;
  }
  size_t size() const override {
    std::lock_guard lock(box_->mutex);
    return box_->waiting.size();
  }

 private:
  std::shared_ptr<Box> box_;
  std::shared_ptr<std::atomic<uint64_t>> refused_;
};

class Boxes final : public UvMailboxes {
 public:
  explicit Boxes(Loop& loop) : loop_(loop) {}
  ~Boxes() override {
    while (!boxes_.empty()) close(*boxes_.begin());
  }
  Boxes(const Boxes&) = delete;
  Boxes& operator=(const Boxes&) = delete;

  std::shared_ptr<Mailbox> make(size_t max_count) override {
    auto box = std::make_shared<Box>(max_count);
    SLUICE_CHECK(uv_async_init(loop_.raw(), box->async.get(), &Boxes::on_wake) == 0);
    box->async.armed(new Place{this, box});
    boxes_.insert(box);
    return std::make_shared<Front>(box, refused_);
  }

  void collect(MetricSink& sink) const override {
    size_t waiting = 0;
    for (const auto& box : boxes_) {
      std::lock_guard lock(box->mutex);
      waiting += box->waiting.size();
    }
    sink.counter("sluice_mailbox_refused_total", "Posts from other threads refused because full.",
                 {}, static_cast<double>(refused_->load(std::memory_order_relaxed)));
    sink.gauge("sluice_mailbox_waiting", "Posts from other threads not yet run.", {},
               static_cast<double>(waiting));
  }

 private:
  struct Place {
    Boxes* boxes;
    std::weak_ptr<Box> box;
  };

  static void on_wake(uv_async_t* handle) noexcept {
    auto* place = static_cast<Place*>(handle->data);
    if (place == nullptr) return;
    Boxes* boxes = place->boxes;
    if (auto box = place->box.lock()) boxes->drain(box);  // may destroy `boxes`
  }

  void drain(const std::shared_ptr<Box>& box) {
    {
      std::lock_guard lock(box->mutex);
      box->wake_sent = false;
      box->running.swap(box->waiting);
    }
    for (Task& task : box->running) {
      if (box->abandoned) break;  // whoever the rest refers to may be gone
      Task running = std::move(task);
      running();
    }
    box->running.clear();
    if (box->abandoned) close(box);
  }

  void close(std::shared_ptr<Box> box) {
    std::vector<Task> dropped;
    {
      std::lock_guard lock(box->mutex);
      if (!box->open) return;
      box->open = false;
      dropped.swap(box->waiting);
      delete static_cast<Place*>(box->async.get()->data);
      box->async.close();
    }
    boxes_.erase(box);
  }

  Loop& loop_;
  std::set<std::shared_ptr<Box>> boxes_;
  std::shared_ptr<std::atomic<uint64_t>> refused_ = std::make_shared<std::atomic<uint64_t>>(0);
};

}  // namespace

std::unique_ptr<UvMailboxes> make_mailboxes(Loop& loop) { return std::make_unique<Boxes>(loop); }

}  // namespace sluice
