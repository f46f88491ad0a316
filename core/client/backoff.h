// Choria's back-off tables: how long its programs wait after the n-th failure.
#pragma once

#include <chrono>

#include "io/random.h"

namespace sluice {

/// 500, 750, 1000 … ms, then by 500 to 5 s; jittered to between half and one and a half of it.
/// @param failures  from 1.
std::chrono::nanoseconds five_sec_backoff(int failures, Random& random);
/// As five_sec_backoff(), by 250 ms to 10 s and by 500 ms on to 20 s.
std::chrono::nanoseconds twenty_sec_backoff(int failures, Random& random);

}  // namespace sluice
