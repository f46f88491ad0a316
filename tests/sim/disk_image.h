// Contents of a whole disk that many simulated disks can share: a page is copied when one of them writes to it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sluice::sim {

inline constexpr uint64_t kSector = 512;
inline constexpr uint64_t kPage = 4096;
using Sector = std::array<std::byte, kSector>;

struct DiskPage {
  std::array<std::byte, kPage> bytes{};
  mutable uint64_t hash = 0;  ///< 0 = not known
};

/// One file. Missing pages are zeros. One thread.
struct FileImage {
  std::vector<std::shared_ptr<DiskPage>> pages;
  uint64_t size = 0;

  void read(uint64_t offset, std::span<std::byte> into) const;
  /// Grows the file as needed.
  void write(uint64_t offset, std::span<const std::byte> bytes);
  /// What lies beyond the new end reads as zeros once the file grows again.
  void truncate(uint64_t new_size);
  Sector sector(uint64_t index) const;
  void set_sector(uint64_t index, const Sector& bytes);
  /// Of size and contents; the same for missing pages and zeros.
  uint64_t hash() const;

 private:
  DiskPage& own(size_t page);
};

/// Path → file; null = folder.
using DiskImage = std::map<std::string, std::shared_ptr<const FileImage>>;

uint64_t hash_of(const DiskImage& image);

}  // namespace sluice::sim
