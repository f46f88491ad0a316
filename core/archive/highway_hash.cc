#include "archive/highway_hash.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/endian.h"

namespace sluice {
namespace {

constexpr size_t kPacket = 32;
constexpr std::array<uint64_t, 4> kInit0{0xdbe6d5d5fe4cce2f, 0xa4093822299f31d0, 0x13198a2e03707344,
                                         0x243f6a8885a308d3};
constexpr std::array<uint64_t, 4> kInit1{0x3bd39e10cb0ef593, 0xc0acf169b5f18a8c, 0xbe5466cf34e90c6c,
                                         0x452821e638d01377};

uint64_t read64(const void* at) { return load_le64(static_cast<const char*>(at)); }

/// Mixes the bytes of two lanes into two others.
void zipper_add(uint64_t high, uint64_t low, uint64_t& to_high, uint64_t& to_low) {
  to_low += (((low & 0xff000000u) | (high & 0xff00000000u)) >> 24) |
            (((low & 0xff0000000000u) | (high & 0xff000000000000u)) >> 16) | (low & 0xff0000u) |
            ((low & 0xff00u) << 32) | ((high & 0xff00000000000000u) >> 8) | (low << 56);
  to_high += (((high & 0xff000000u) | (low & 0xff00000000u)) >> 24) | (high & 0xff0000u) |
             ((high & 0xff0000000000u) >> 16) | ((high & 0xff00u) << 24) |
             ((low & 0xff000000000000u) >> 8) | ((high & 0xffu) << 48) | (low & 0xff00000000000000u);
}

/// Each 32-bit half by itself.
uint64_t rotate_halves(uint64_t lane, int count) {
  const auto low = std::rotl(static_cast<uint32_t>(lane), count);
  const auto high = std::rotl(static_cast<uint32_t>(lane >> 32), count);
  return uint64_t{high} << 32 | low;
}

}  // namespace

HighwayHash::HighwayHash(const Key& key) : mul0_(kInit0), mul1_(kInit1) {
  for (size_t i = 0; i < 4; ++i) {
    const uint64_t word = read64(key.data() + 8 * i);
    v0_[i] = mul0_[i] ^ word;
    v1_[i] = mul1_[i] ^ std::rotl(word, 32);
  }
}

void HighwayHash::lanes(const Lanes& in) {
  for (size_t i = 0; i < 4; ++i) {
    v1_[i] += mul0_[i] + in[i];
    mul0_[i] ^= (v1_[i] & 0xffffffff) * (v0_[i] >> 32);
    v0_[i] += mul1_[i];
    mul1_[i] ^= (v0_[i] & 0xffffffff) * (v1_[i] >> 32);
  }
  zipper_add(v1_[1], v1_[0], v0_[1], v0_[0]);
  zipper_add(v1_[3], v1_[2], v0_[3], v0_[2]);
  zipper_add(v0_[1], v0_[0], v1_[1], v1_[0]);
  zipper_add(v0_[3], v0_[2], v1_[3], v1_[2]);
}

void HighwayHash::packet(const char* bytes) {
  lanes({read64(bytes), read64(bytes + 8), read64(bytes + 16), read64(bytes + 24)});
}

void HighwayHash::update(std::string_view bytes) {
  if (waiting_bytes_ > 0) {
    const size_t taken = std::min(kPacket - waiting_bytes_, bytes.size());
    std::copy_n(bytes.data(), taken, waiting_.data() + waiting_bytes_);
    waiting_bytes_ += taken;
    bytes.remove_prefix(taken);
    if (waiting_bytes_ < kPacket) return;
    packet(waiting_.data());
    waiting_bytes_ = 0;
  }
  for (; bytes.size() >= kPacket; bytes.remove_prefix(kPacket)) packet(bytes.data());
  std::copy_n(bytes.data(), bytes.size(), waiting_.data());
  waiting_bytes_ = bytes.size();
}

/// The last 1 to 31 bytes.
void HighwayHash::remainder(std::string_view bytes) {
  const size_t size = bytes.size();
  for (uint64_t& lane : v0_) lane += (uint64_t{size} << 32) + size;
  for (uint64_t& lane : v1_) lane = rotate_halves(lane, static_cast<int>(size));
  std::array<char, kPacket> last{};
  const size_t whole = size & ~size_t{3};
  const size_t odd = size & 3;
  std::copy_n(bytes.data(), whole, last.data());
  if ((size & 16) != 0) {
    std::copy_n(bytes.data() + size - 4, 4, last.data() + 28);
  } else if (odd != 0) {
    last[16] = bytes[whole];
    last[17] = bytes[whole + (odd >> 1)];
    last[18] = bytes[whole + odd - 1];
  }
  packet(last.data());
}

void HighwayHash::permute() {
  lanes({std::rotl(v0_[2], 32), std::rotl(v0_[3], 32), std::rotl(v0_[0], 32), std::rotl(v0_[1], 32)});
}

uint64_t HighwayHash::digest() const {
  HighwayHash last = *this;
  if (waiting_bytes_ > 0) last.remainder({waiting_.data(), waiting_bytes_});
  for (int round = 0; round < 4; ++round) last.permute();
  return last.v0_[0] + last.v1_[0] + last.mul0_[0] + last.mul1_[0];
}

uint64_t highway_hash(const HighwayHash::Key& key, std::string_view bytes) {
  HighwayHash hash(key);
  hash.update(bytes);
  return hash.digest();
}

}  // namespace sluice
