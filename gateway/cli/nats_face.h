// The nats-server face: the same engine, started by that program's flags and file, with its log
// lines, files and signals.
#pragma once

#include <string>
#include <vector>

#include "config/nats_settings.h"
#include "gateway/app.h"
#include "gateway/cli/nats_face_log.h"
#include "gateway/cli/nats_run_files.h"
#include "gateway/cli/nats_server_flags.h"

namespace sluice {

/// What the command line and its file say together.
struct FaceSetup {
  NatsServerFlags flags{};
  NatsSettings settings{};
  NatsConf conf{};       ///< empty without a file
  std::string digest{};  ///< "sha256:…" of the file; empty without one
};

/// Reads the file that `flags` name and lays the flags over it. kInvalidArgument with the words for
/// people.
Result<FaceSetup> make_face_setup(const NatsServerFlags& flags);

/// What differs and can't change while it runs, with the names that nats-server's refusals have.
std::vector<ChangedSetting> fixed_changes(const NatsSettings& running, const NatsSettings& fresh);

/// The folder in a store_dir that is ours; nats-server's is "jetstream" beside it.
inline constexpr const char* kFaceStoreFolder = "sluice";

/// One run.
class NatsFace {
 public:
  explicit NatsFace(FaceSetup setup) : setup_(std::move(setup)) {}
  /// Until a signal ends it. @return the exit code.
  int run();

 private:
  AppOptions app_options();
  void say_ready(const AppReady& ready);
  void say_warnings(WallNanos now);
  void reload(RunningDaemon& daemon, WallNanos now, int signal);
  void apply(RunningDaemon& daemon, WallNanos now, FaceSetup fresh, const ReloadReport& report);
  Status apply_logging(const NatsSettings& settings);

  FaceSetup setup_;
  FaceLog log_;
  PortsFile ports_file_;
};

}  // namespace sluice
