#include <cstdio>

#include "config/load.h"
#include "gateway/app.h"
#include "gateway/cli/command_line.h"

namespace sluice {

int run_verb(const std::string& config_path) {
  Problems problems(config_path);
  AppOptions options;
  options.config = load_config(config_path, process_environment(), problems);
  if (!problems.empty()) {
    std::fputs(problems.to_text().c_str(), stderr);
    return kExitConfig;
  }
  options.config.server.jetstream = options.config.core.embedded();
  options.config_path = config_path;
  return App(std::move(options)).run();
}

}  // namespace sluice
