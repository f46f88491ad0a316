#include <cstdio>

#include "gateway/cli/command_line.h"
#include "server/version.h"

namespace sluice {

int version_verb() {
  std::printf("sluice %.*s (to NATS clients: %.*s)\n", static_cast<int>(kSluiceVersion.size()),
              kSluiceVersion.data(), static_cast<int>(kCompatVersion.size()),
              kCompatVersion.data());
  return kExitOk;
}

}  // namespace sluice
