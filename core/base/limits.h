// Bounds that hold everywhere. Each queue or size from outside is checked against a number here or
// in an options struct before it drives an allocation or a loop.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

inline constexpr size_t kKiB = 1024;
inline constexpr size_t kMiB = 1024 * kKiB;
inline constexpr size_t kGiB = 1024 * kMiB;

inline constexpr size_t kDefaultMaxPayload_bytes = 1 * kMiB;
inline constexpr size_t kDefaultMaxControlLine_bytes = 4096;
inline constexpr size_t kDefaultMaxPending_bytes = 64 * kMiB;
/// A subject may have at most this many tokens in our trees (depth of recursion and memory).
inline constexpr size_t kMaxSubjectTokens = 256;
inline constexpr size_t kMaxNameLength_bytes = 255;
inline constexpr size_t kMaxRecord_bytes = 32 * kMiB;
inline constexpr size_t kMaxHeaderBlock_bytes = 65535;

}  // namespace sluice
