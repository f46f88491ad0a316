#include "archive/s2.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "archive/byte_reader.h"
#include "base/check.h"

namespace sluice {
namespace {

std::unexpected<Error> corrupt(const char* what) { return fail(Errc::kCorrupt, what); }

constexpr size_t kMaxEncoded_bytes = 65536;

/// What one tag asks for.
struct Element {
  bool literal = false;
  size_t length = 0;
  size_t offset = 0;  ///< copies; 0 = the same as the last one
};

std::optional<Element> read_literal(uint8_t tag, ByteReader& in) {
  const size_t code = tag >> 2;
  if (code < 60) return Element{.literal = true, .length = code + 1, .offset = 0};
  const auto length = in.le(code - 59);
  if (!length) return std::nullopt;
  return Element{.literal = true, .length = static_cast<size_t>(*length) + 1, .offset = 0};
}

/// A short copy; with offset 0 it repeats the last offset, and its length may follow in 1 to 3 bytes.
std::optional<Element> read_short_copy(uint8_t tag, ByteReader& in) {
  const auto low = in.byte();
  if (!low) return std::nullopt;
  const size_t code = (tag >> 2) & 7;
  const size_t offset = (size_t{tag} & 0xe0) << 3 | *low;
  if (offset != 0 || code < 5) return Element{.length = code + 4, .offset = offset};
  const auto more = in.le(code - 4);
  if (!more) return std::nullopt;
  constexpr std::array<size_t, 3> kBase{8, 260, 65540};
  return Element{.length = kBase[code - 5] + static_cast<size_t>(*more), .offset = 0};
}

std::optional<Element> read_element(ByteReader& in) {
  const auto tag = in.byte();
  if (!tag) return std::nullopt;
  switch (*tag & 3) {
    case 0: return read_literal(*tag, in);
    case 1: return read_short_copy(*tag, in);
    default: break;
  }
  const auto offset = in.le((*tag & 3) == 2 ? 2 : 4);
  if (!offset || *offset == 0) return std::nullopt;
  return Element{.length = size_t{*tag} / 4 + 1, .offset = static_cast<size_t>(*offset)};
}

void append_uvarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void append_literal(std::string& out, std::string_view bytes) {
  if (bytes.empty()) return;
  const size_t n = bytes.size() - 1;
  if (n < 60) {
    out.push_back(static_cast<char>(n << 2));
  } else if (n < 256) {
    out.push_back(static_cast<char>(60 << 2));
    out.push_back(static_cast<char>(n));
  } else {
    out.push_back(static_cast<char>(61 << 2));
    out.push_back(static_cast<char>(n));
    out.push_back(static_cast<char>(n >> 8));
  }
  out += bytes;
}

/// In pieces of at most 64 with a 16-bit offset.
void append_copy(std::string& out, size_t offset, size_t length) {
  while (length > 0) {
    // The last piece must not be shorter than a match is.
    const size_t piece = length <= 64 ? length : length < 68 ? 60 : 64;
    out.push_back(static_cast<char>((piece - 1) << 2 | 2));
    out.push_back(static_cast<char>(offset));
    out.push_back(static_cast<char>(offset >> 8));
    length -= piece;
  }
}

uint32_t load32(const char* at) {
  uint32_t out;
  std::memcpy(&out, at, sizeof out);
  return out;
}

}  // namespace

Result<std::string> s2_decode_block(std::string_view block, size_t max_bytes) {
  ByteReader in(block);
  const auto size = in.uvarint();
  if (!size) return corrupt("block without its length");
  if (*size > max_bytes) return corrupt("block larger than allowed");
  std::string out;
  out.reserve(static_cast<size_t>(*size));
  size_t last_offset = 0;
  while (in.left() > 0) {
    const auto element = read_element(in);
    if (!element) return corrupt("block ends within an element");
    if (element->length > *size - out.size()) return corrupt("block holds more than it says");
    if (element->literal) {
      const auto bytes = in.take(element->length);
      if (!bytes) return corrupt("block ends within a literal");
      out += *bytes;
      continue;
    }
    if (element->offset != 0) last_offset = element->offset;
    if (last_offset == 0 || last_offset > out.size()) return corrupt("copy from before the block");
    // Source and target may overlap: a run.
    for (size_t i = 0; i < element->length; ++i) out.push_back(out[out.size() - last_offset]);
  }
  if (out.size() != *size) return corrupt("block holds less than it says");
  return out;
}

void s2_encode_block(std::string_view bytes, std::string& out) {
  SLUICE_CHECK(bytes.size() <= kMaxEncoded_bytes);
  append_uvarint(out, bytes.size());
  std::array<uint16_t, 1u << 13> seen{};  // hash of four bytes → where they stood, plus nothing: 0 is checked
  size_t literal = 0;
  size_t at = 1;
  size_t misses = 0;
  while (at + 4 <= bytes.size()) {
    const uint32_t four = load32(bytes.data() + at);
    const size_t slot = four * 0x1e35a7bdu >> 19;
    const size_t candidate = seen[slot];
    seen[slot] = static_cast<uint16_t>(at);
    if (candidate >= at || load32(bytes.data() + candidate) != four) {
      at += 1 + (misses++ >> 5);  // what does not compress is passed over faster and faster
      continue;
    }
    misses = 0;
    size_t length = 4;
    while (at + length < bytes.size() && bytes[candidate + length] == bytes[at + length]) ++length;
    append_literal(out, bytes.substr(literal, at - literal));
    append_copy(out, at - candidate, length);
    at += length;
    literal = at;
  }
  append_literal(out, bytes.substr(literal));
}

}  // namespace sluice
