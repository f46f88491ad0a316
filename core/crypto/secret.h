// Comparing what must not be guessed.
#pragma once

#include <string_view>

namespace sluice {

/// Whether both hold the same bytes. The time taken tells nothing of where they differ, nor of
/// `expected`'s length: both are digested first.
bool secrets_equal(std::string_view given, std::string_view expected);

}  // namespace sluice
