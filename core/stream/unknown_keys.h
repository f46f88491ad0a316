// What a reader of a request does with keys that it does not know.
#pragma once

#include <cstdint>

namespace sluice {

/// kIgnore is what the reference does with `strict: false`, and for pulls and direct gets always.
enum class UnknownKeys : uint8_t { kRefuse, kIgnore };

}  // namespace sluice
