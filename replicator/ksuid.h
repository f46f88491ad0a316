// KSUIDs: 27 characters of base 62 that sort by the second in which they were made.
#pragma once

#include <string>

#include "base/time_format.h"
#include "io/random.h"

namespace sluice {

/// 32 bits of seconds since 2014-05-13, then 128 of chance.
std::string make_ksuid(WallNanos now, Random& random);

}  // namespace sluice
