// The program sluice-spool.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/log_queue.h"
#include "spool/daemon/daemon.h"

int main(int argc, char** argv) {
  constexpr int kExitUsage = 64;
  constexpr int kExitConfig = 78;
  constexpr size_t kLogQueue_lines = 256;  // 3.2 MB less than the daemon's
  // Every node pays for it: what large buffers took goes back to the system (2 MB less when idle, measured).
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 64 * 1024);
  mallopt(M_TRIM_THRESHOLD, 64 * 1024);
  sluice::set_log_queue_lines(kLogQueue_lines);
  CLI::App app("Keeps what this node submits until the gateway has it.", "sluice-spool");
  std::string path = sluice::kDefaultSpoolConfigPath;
  bool check = false;
  app.add_option("-c,--config", path, "configuration file (YAML)")->capture_default_str();
  app.add_flag("--check", check, "tell what is wrong with the configuration, and start nothing");
  app.set_version_flag("--version", SLUICE_SPOOL_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  sluice::Problems problems(path);
  sluice::SpoolConfig config = sluice::load_spool_config(path, sluice::process_environment(), problems);
  if (!problems.empty()) {
    std::fputs(problems.to_text().c_str(), stderr);
    return kExitConfig;
  }
  if (check) {
    std::printf("%s: ok\n", path.c_str());
    return 0;
  }
  return sluice::run_spool(std::move(config));
}
