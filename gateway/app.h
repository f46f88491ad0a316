// The daemon: owns everything, starts it in order, stops it in reverse.
//
// Start: log → store and recovery → engine → monitor port → NATS listener → copies and adapters →
// ready. Stop (SIGTERM, SIGINT, SIGUSR2): adapters and copies settle what is in flight → listener
// closes, clients are told and closed → streams flush and sync → the loop closes empty. A second
// signal skips the waiting and goes to flush and sync.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/time_format.h"
#include "config/config.h"
#include "gateway/adapter_host.h"
#include "server/reload.h"

namespace sluice {

struct AppReady {
  WallNanos now = 0;
  uint16_t client_port = 0;
  uint16_t monitor_port = 0;    ///< 0 = none, as the next two
  uint16_t websocket_port = 0;
  uint16_t leaf_port = 0;
};

/// What a reload reaches in the running daemon.
class RunningDaemon {
 public:
  virtual ~RunningDaemon() = default;
  virtual Result<ReloadReport> reload_server(const ServerOptions& fresh) = 0;
  /// In two steps, so that nothing changes when something is wrong: see AdapterHost.
  virtual Status prepare_adapters(const Config& fresh) = 0;
  virtual AdapterChanges commit_adapters() = 0;
  virtual void drop_prepared_adapters() = 0;
  virtual void set_lame_duck(std::chrono::nanoseconds grace, std::chrono::nanoseconds spread) = 0;
  /// "sha256:…" of the file that is in force now.
  virtual void set_config_digest(const std::string& digest) = 0;
};

struct AppOptions {
  Config config{};
  std::string config_digest{};  ///< "sha256:…", for /varz; empty = none
  std::string config_path{};  ///< read again on SIGHUP; empty = there is none
  int64_t max_file_bytes = -1;  ///< JetStream's limits; -1 = none
  int64_t max_memory_bytes = -1;
  int64_t max_ack_pending = -1;    ///< of every account's consumers; -1 = none
  int64_t max_request_batch = 0;   ///< of a pull; 0 = none
  std::chrono::nanoseconds max_duplicate_window{0};  ///< of a stream; 0 = none
  /// Between the notice to clients and their end.
  std::chrono::nanoseconds stop_grace = std::chrono::milliseconds(500);
  std::chrono::nanoseconds lame_duck_grace = std::chrono::milliseconds(500);  ///< the same for SIGUSR2
  std::chrono::nanoseconds lame_duck_spread{0};  ///< then the time over which clients are closed
  bool term_ends_lame_duck = true;  ///< false: SIGTERM waits for its end, as nats-server has it
  std::move_only_function<void(const AppReady&)> on_ready{};
  /// Called instead of reading config_path again, on SIGHUP and SIGUSR1.
  std::move_only_function<void(RunningDaemon&, WallNanos, int signal)> on_reload{};
  /// The first signal that ends the daemon.
  std::move_only_function<void(WallNanos, int signal)> on_stopping{};
  /// Told instead of logged when the start fails.
  std::move_only_function<void(WallNanos, const Error&)> on_failure{};
};

/// One for a process. Not thread safe.
class App {
 public:
  explicit App(AppOptions options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  /// Runs until a signal ends it. @return the exit code.
  int run();

 private:
  class Running;
  AppOptions options_;
};

}  // namespace sluice
