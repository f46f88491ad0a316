// What an asynchronous call returns: dropping it cancels the call.
#pragma once

#include <functional>
#include <utility>

namespace sluice {

/// Move-only. Destroying it (or cancel()) runs `cancel` once; release() lets the call run on.
class [[nodiscard]] Ticket {
 public:
  Ticket() = default;
  explicit Ticket(std::move_only_function<void()> cancel) : cancel_(std::move(cancel)) {}
  Ticket(Ticket&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
  Ticket& operator=(Ticket&& other) noexcept {
    if (this != &other) {
      cancel();
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  ~Ticket() { cancel(); }

  bool active() const { return cancel_ != nullptr; }
  void cancel() {
    if (auto run = std::exchange(cancel_, nullptr)) run();
  }
  void release() { cancel_ = nullptr; }

 private:
  std::move_only_function<void()> cancel_;
};

}  // namespace sluice
