// CRC-32C (Castagnoli), as the framing of Snappy streams uses it.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

uint32_t crc32c(std::string_view bytes);
/// What a frame stores: rotated and offset, so that a checksum of checksums is no checksum.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace sluice
