// Reads from a view, checking every step; what does not fit gives nullopt and moves nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  size_t left() const { return rest_.size(); }
  std::string_view rest() const { return rest_; }
  std::optional<std::string_view> take(size_t count) {
    if (count > rest_.size()) return std::nullopt;
    const std::string_view out = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return out;
  }
  std::optional<uint8_t> byte() {
    const auto one = take(1);
    return one ? std::optional(static_cast<uint8_t>(one->front())) : std::nullopt;
  }
  /// Little-endian, `width` ≤ 8 bytes.
  std::optional<uint64_t> le(size_t width) {
    const auto bytes = take(width);
    if (!bytes) return std::nullopt;
    uint64_t out = 0;
    for (size_t i = 0; i < width; ++i)
      out |= uint64_t{static_cast<uint8_t>((*bytes)[i])} << (8 * i);
    return out;
  }
  /// Base-128, least group first; more than 64 bits give nullopt.
  std::optional<uint64_t> uvarint() {
    uint64_t out = 0;
    for (size_t i = 0; i < rest_.size() && i < 10; ++i) {
      const auto b = static_cast<uint8_t>(rest_[i]);
      if (i == 9 && b > 1) return std::nullopt;
      out |= uint64_t{b & 0x7fu} << (7 * i);
      if ((b & 0x80) != 0) continue;
      rest_.remove_prefix(i + 1);
      return out;
    }
    return std::nullopt;
  }
  /// Zigzag.
  std::optional<int64_t> varint() {
    const auto raw = uvarint();
    if (!raw) return std::nullopt;
    return static_cast<int64_t>((*raw >> 1) ^ (~(*raw & 1) + 1));
  }

 private:
  std::string_view rest_;
};

}  // namespace sluice
