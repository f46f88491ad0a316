#include <cstdio>

#include "config/reference.h"
#include "gateway/cli/command_line.h"

namespace sluice {

int config_reference_verb() {
  std::string page = configuration_reference();
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? kExitOk : kExitFailure;
}

}  // namespace sluice
