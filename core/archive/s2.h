// Blocks of S2 and Snappy: a length, then literals and copies.
// Source: the public descriptions of the Snappy format and of the S2 extensions to it (repeat offsets).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

/// A block of the framing holds at most this much.
inline constexpr size_t kMaxS2Block_bytes = 4u << 20;

/// Decodes one block, Snappy's or S2's.
/// @param max_bytes  a block that says it holds more is refused before memory is taken.
/// @return kCorrupt for what is no block.
Result<std::string> s2_decode_block(std::string_view block, size_t max_bytes = kMaxS2Block_bytes);

/// Appends `bytes` (at most 64 KiB) as a block that decoders of Snappy and of S2 read.
void s2_encode_block(std::string_view bytes, std::string& out);

}  // namespace sluice
