#include "sim/disk_image.h"

#include <algorithm>
#include <string_view>

namespace sluice::sim {
namespace {

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
  return hash ^ (hash >> 32);
}

/// 0 for a page of zeros.
uint64_t hash_page(const DiskPage& page) {
  uint64_t hash = 0;
  for (size_t at = 0; at < kPage; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, page.bytes.data() + at, 8);
    if (word != 0) hash = mix(hash ^ at, word) | 1;
  }
  return hash;
}

}  // namespace

DiskPage& FileImage::own(size_t page) {
  if (page >= pages.size()) pages.resize(page + 1);
  std::shared_ptr<DiskPage>& slot = pages[page];
  if (!slot) {
    slot = std::make_shared<DiskPage>();
  } else if (slot.use_count() > 1) {
    slot = std::make_shared<DiskPage>(*slot);
  }
  slot->hash = 0;
  return *slot;
}

void FileImage::read(uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const size_t page = offset / kPage;
    const size_t within = offset % kPage;
    const size_t count = std::min<size_t>(into.size(), kPage - within);
    if (page < pages.size() && pages[page]) {
      std::memcpy(into.data(), pages[page]->bytes.data() + within, count);
    } else {
      std::memset(into.data(), 0, count);
    }
    into = into.subspan(count);
    offset += count;
  }
}

void FileImage::write(uint64_t offset, std::span<const std::byte> bytes) {
  size = std::max(size, offset + bytes.size());
  while (!bytes.empty()) {
    const size_t page = offset / kPage;
    const size_t within = offset % kPage;
    const size_t count = std::min<size_t>(bytes.size(), kPage - within);
    const auto part = bytes.first(count);
    const bool hole = page >= pages.size() || !pages[page];
    if (!hole || std::any_of(part.begin(), part.end(), [](std::byte b) { return b != std::byte{0}; })) {
      std::memcpy(own(page).bytes.data() + within, part.data(), count);
    }
    bytes = bytes.subspan(count);
    offset += count;
  }
}

void FileImage::truncate(uint64_t new_size) {
  const size_t whole = (new_size + kPage - 1) / kPage;
  if (pages.size() > whole) pages.resize(whole);
  if (new_size % kPage != 0 && new_size / kPage < pages.size() && pages[new_size / kPage]) {
    auto& bytes = own(new_size / kPage).bytes;
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(new_size % kPage), bytes.end(), std::byte{0});
  }
  size = new_size;
}

Sector FileImage::sector(uint64_t index) const {
  Sector out;
  read(index * kSector, out);
  return out;
}

void FileImage::set_sector(uint64_t index, const Sector& bytes) {
  const uint64_t keep = size;
  write(index * kSector, bytes);
  size = keep;
}

uint64_t FileImage::hash() const {
  uint64_t hash = mix(1, size);
  for (size_t page = 0; page < pages.size(); ++page) {
    if (!pages[page]) continue;
    if (pages[page]->hash == 0) pages[page]->hash = hash_page(*pages[page]);
    if (pages[page]->hash != 0) hash = mix(hash ^ page, pages[page]->hash);
  }
  return hash;
}

uint64_t hash_of(const DiskImage& image) {
  uint64_t hash = 0;
  for (const auto& [path, file] : image) {
    for (const char c : path) hash = mix(hash, static_cast<unsigned char>(c));
    hash = mix(hash, file ? file->hash() : 2);
  }
  return hash;
}

}  // namespace sluice::sim
