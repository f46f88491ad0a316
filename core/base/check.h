// Checks of our own invariants: on in every build, because a wrong state must not reach the disk.
#pragma once

#include <source_location>

namespace sluice {

/// Prints the broken condition with its place and stops the process. Never returns.
[[noreturn]] void check_failed(const char* condition, std::source_location where);

}  // namespace sluice

/// An invariant of ours. What the world does wrong (bytes, files, peers, people) is an Error instead.
#define SLUICE_CHECK(condition)                                                      \
  do {                                                                               \
    if (!(condition)) [[unlikely]]                                                   \
      ::sluice::check_failed(#condition, std::source_location::current());           \
  } while (false)
