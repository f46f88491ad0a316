#pragma once

#include <memory>

#include "io/random.h"

namespace sluice {

/// xoshiro256**, seeded by getrandom(2).
std::unique_ptr<Random> make_random();

}  // namespace sluice
