#include "notify/sd_notify.h"

#include <fmt/format.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <string>

namespace sluice {
namespace {

constexpr std::chrono::seconds kExtensionEvery{10};
constexpr std::chrono::seconds kExtension{30};

void send(const std::string& state) { sd_notify(0, state.c_str()); }

}  // namespace

void notify_ready(std::string_view status) { send(fmt::format("READY=1\nSTATUS={}", status)); }
void notify_reloading(std::chrono::microseconds now) {
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.count()));
}
void notify_stopping() { send("STOPPING=1\nSTATUS=stopping"); }
void notify_watchdog() { send("WATCHDOG=1"); }

void notify_extend_timeout(std::chrono::microseconds more) {
  send(fmt::format("EXTEND_TIMEOUT_USEC={}", more.count()));
}

std::optional<std::chrono::microseconds> watchdog_interval() {
  uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0 || usec == 0) return std::nullopt;
  return std::chrono::microseconds(usec);
}

StartupExtension::StartupExtension() {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return;
  notify_extend_timeout(kExtension);
  thread_ = std::thread([this] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kExtensionEvery, [this] { return over_; })) {
      notify_extend_timeout(kExtension);
    }
  });
}

StartupExtension::~StartupExtension() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

}  // namespace sluice
