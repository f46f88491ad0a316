// Comparing what must not be guessed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice {

/// Whether both hold the same bytes. The time taken tells nothing of where they differ, nor of
/// `expected`'s length: both are digested first.
bool secrets_equal(std::string_view given, std::string_view expected);

/// Bytes that nobody can foretell: nonces.
std::string unguessable_bytes(size_t count);

}  // namespace sluice
