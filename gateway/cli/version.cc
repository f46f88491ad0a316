#include <fmt/format.h>

#include <cstdio>

#include "gateway/cli/command_line.h"
#include "server/version.h"

namespace sluice {

std::string version_text() { return fmt::format("sluice {} (to NATS clients: {})", kSluiceVersion, kCompatVersion); }

int version_verb() {
  std::printf("%s\n", version_text().c_str());
  return kExitOk;
}

}  // namespace sluice
