// One page of a daemon's monitor.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "uv/env.h"

namespace sluice {

/// Runs the loop until the page is there. kClosed when nobody listens, kRefused for a status other than 200, kTimeout
/// after 5 s; a page of more than 16 MiB is kFull.
Result<std::string> http_get(UvEnv& world, const std::string& host, uint16_t port, const std::string& path);

}  // namespace sluice
