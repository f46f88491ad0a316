// Blocks of store files that were read lately, bounded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>

#include "base/error.h"
#include "io/disk.h"

namespace sluice {

/// Loop thread only; reads block. What it returns stays alive as long as somebody holds it.
class BlockCache {
 public:
  static constexpr size_t kBlock_bytes = 128 * 1024;
  /// Bytes that are not zeroed before they are read.
  class Block {
   public:
    explicit Block(size_t room) : bytes_(std::make_unique_for_overwrite<std::byte[]>(room)), size_(room) {}
    std::byte* data() { return bytes_.get(); }
    const std::byte* data() const { return bytes_.get(); }
    size_t size() const { return size_; }
    void shorten(size_t size) { size_ = std::min(size, size_); }

   private:
    std::unique_ptr<std::byte[]> bytes_;
    size_t size_;
  };
  struct Bytes {
    std::shared_ptr<const Block> pin;
    std::span<const std::byte> bytes;
  };

  explicit BlockCache(size_t max_bytes) : max_bytes_(max_bytes) {}
  /// The bytes from `offset` to the end of its block; at least `want` of them unless the file ends.
  /// `fresh`: read again even when cached (journal files grow into their blocks).
  Result<Bytes> read(uint64_t number, File& file, uint64_t offset, size_t want, bool fresh);
  void forget(uint64_t number);

  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }
  size_t size_bytes() const { return bytes_; }

 private:
  struct Entry {
    uint64_t number;
    uint64_t index;
    std::shared_ptr<const Block> block;
  };
  static uint64_t key(uint64_t number, uint64_t index) { return number << 20 ^ index; }
  static Result<std::shared_ptr<const Block>> load(File& file, uint64_t offset, size_t size);
  void drop(std::list<Entry>::iterator it);
  static Bytes part(const Entry& entry, size_t inside);

  size_t max_bytes_;
  size_t bytes_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
  std::list<Entry> order_;  ///< newest first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> by_key_;
};

}  // namespace sluice
