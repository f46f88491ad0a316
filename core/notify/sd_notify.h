// What systemd hears of us (sd_notify(3)). Does nothing when systemd did not start the process.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>

namespace sluice {

void notify_ready(std::string_view status);
/// `now` by the monotonic clock. Followed by notify_ready().
void notify_reloading(std::chrono::microseconds now);
void notify_stopping();
void notify_watchdog();
/// Asks for that much more time to start or stop.
void notify_extend_timeout(std::chrono::microseconds more);
/// How often systemd wants to hear from us at least; nullopt = not at all.
std::optional<std::chrono::microseconds> watchdog_interval();

/// While it lives, systemd is asked for more start-up time every 10 s: recovery blocks the loop's
/// thread. Its own thread, touches nothing of ours.
class StartupExtension {
 public:
  StartupExtension();
  ~StartupExtension();
  StartupExtension(const StartupExtension&) = delete;
  StartupExtension& operator=(const StartupExtension&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace sluice
