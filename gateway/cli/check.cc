#include <cstdio>

#include "config/load.h"
#include "gateway/cli/command_line.h"

namespace sluice {

int check_verb(const std::string& config_path) {
  Problems problems(config_path);
  load_config(config_path, process_environment(), problems);
  if (!problems.empty()) {
    std::fputs(problems.to_text().c_str(), stderr);
    std::fprintf(stderr, "%zu problem%s\n", problems.size(), problems.size() == 1 ? "" : "s");
    return kExitConfig;
  }
  std::printf("%s: ok\n", config_path.c_str());
  return kExitOk;
}

}  // namespace sluice
