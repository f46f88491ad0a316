// HighwayHash-64 (Alakuijala, Cox, Wassenberg, "Fast keyed hash/pseudo-random function using SIMD multiply and
// permute"): the checksum in nats-server's own files.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice {

class HighwayHash {
 public:
  using Key = std::array<uint8_t, 32>;

  explicit HighwayHash(const Key& key);
  void update(std::string_view bytes);
  /// The hash of everything so far; update() may go on.
  uint64_t digest() const;

 private:
  using Lanes = std::array<uint64_t, 4>;
  void packet(const char* bytes);
  void lanes(const Lanes& in);
  void remainder(std::string_view bytes);
  void permute();

  Lanes v0_, v1_, mul0_, mul1_;
  std::array<char, 32> waiting_{};
  size_t waiting_bytes_ = 0;
};

uint64_t highway_hash(const HighwayHash::Key& key, std::string_view bytes);

}  // namespace sluice
