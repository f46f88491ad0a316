// An in-memory transport and hand-driven timers: the test plays kernel and peer.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/timers.h"
#include "io/transport.h"

namespace sluice {

/// Timers fire when the test advances the time.
class FakeTimers : public Timers {
 public:
  std::unique_ptr<Timer> make(std::move_only_function<void()> fire) override {
    return std::make_unique<One>(*this, std::move(fire));
  }
  void advance(std::chrono::nanoseconds by) {
    now_ += by;
    while (One* due = first_due()) {
      due->armed = false;
      due->fire();  // may destroy it
    }
  }

 private:
  struct One : Timer {
    One(FakeTimers& timers, std::move_only_function<void()> call)
        : all(timers), fire(std::move(call)) {
      all.timers_.push_back(this);
    }
    ~One() override { std::erase(all.timers_, this); }
    void start(std::chrono::nanoseconds delay) override {
      at = all.now_ + delay;
      armed = true;
    }
    void stop() override { armed = false; }
    bool active() const override { return armed; }
    FakeTimers& all;
    std::move_only_function<void()> fire;
    std::chrono::nanoseconds at{0};
    bool armed = false;
  };
  One* first_due() {
    for (One* timer : timers_) {
      if (timer->armed && timer->at <= now_) return timer;
    }
    return nullptr;
  }

  std::chrono::nanoseconds now_{0};
  std::vector<One*> timers_;
};

/// What the peer sees; outlives the transport.
struct FakePeer {
  TransportHandler* handler = nullptr;  ///< null once the server let go
  std::string received;                 ///< gone through the "kernel"
  std::string queued;                   ///< held by a full "kernel"
  bool kernel_takes = true;
  bool paused = false;
  bool closed = false;

  void send(std::string_view bytes) {
    if (handler != nullptr) handler->on_bytes(bytes);
  }
  /// The kernel takes everything that waits.
  void drain() {
    received += std::exchange(queued, {});
    if (handler != nullptr) handler->on_drained();
  }
  void hang_up() {
    if (handler != nullptr)
      std::exchange(handler, nullptr)->on_closed(Error{Errc::kClosed, 0, "peer closed"});
  }
};

class FakeTransport : public Transport {
 public:
  explicit FakeTransport(std::shared_ptr<FakePeer> peer) : peer_(std::move(peer)) {}
  ~FakeTransport() override {
    peer_->handler = nullptr;
    peer_->closed = true;
    peer_->queued.clear();
  }
  void start(TransportHandler& handler) override { peer_->handler = &handler; }
  void write(std::string& bytes) override {
    (peer_->kernel_takes ? peer_->received : peer_->queued) += bytes;
    bytes.clear();
  }
  size_t queued_bytes() const override { return peer_->queued.size(); }
  void pause_reading() override { peer_->paused = true; }
  void resume_reading() override { peer_->paused = false; }
  void close(bool) override {
    peer_->handler = nullptr;
    peer_->closed = true;
  }
  std::string peer_address() const override { return ""; }

 private:
  std::shared_ptr<FakePeer> peer_;
};

}  // namespace sluice
