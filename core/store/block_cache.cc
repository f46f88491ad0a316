#include "store/block_cache.h"

namespace sluice {

Result<std::shared_ptr<const BlockCache::Block>> BlockCache::load(File& file, uint64_t offset, size_t size) {
  auto block = std::make_shared<Block>(size);
  auto got = file.read_at(offset, {block->data(), size});
  if (!got) return std::unexpected(got.error());
  block->shorten(*got);
  return std::shared_ptr<const Block>(std::move(block));
}

void BlockCache::drop(std::list<Entry>::iterator it) {
  bytes_ -= it->block->size();
  by_key_.erase(key(it->number, it->index));
  order_.erase(it);
}

BlockCache::Bytes BlockCache::part(const Entry& entry, size_t inside) {
  if (inside >= entry.block->size()) return {entry.block, {}};
  return {entry.block, {entry.block->data() + inside, entry.block->size() - inside}};
}

Result<BlockCache::Bytes> BlockCache::read(uint64_t number, File& file, uint64_t offset, size_t want, bool fresh) {
  const uint64_t index = offset / kBlock_bytes;
  const size_t inside = offset % kBlock_bytes;
  if (inside + want > kBlock_bytes) {  // crosses blocks: read for itself, not kept
    ++misses_;
    auto block = load(file, offset, want);
    if (!block) return std::unexpected(block.error());
    return Bytes{*block, {(*block)->data(), (*block)->size()}};
  }
  if (!fresh && !order_.empty()) {  // one record behind the other: the block of the last read
    const Entry& newest = order_.front();
    if (newest.number == number && newest.index == index && newest.block->size() >= inside + want) {
      ++hits_;
      return part(newest, inside);
    }
  }
  auto known = by_key_.find(key(number, index));
  if (known != by_key_.end() && (fresh || known->second->number != number || known->second->index != index ||
                                 known->second->block->size() < inside + want)) {
    drop(known->second);
    known = by_key_.end();
  }
  if (known == by_key_.end()) {
    ++misses_;
    auto block = load(file, index * kBlock_bytes, kBlock_bytes);
    if (!block) return std::unexpected(block.error());
    bytes_ += (*block)->size();
    order_.push_front({number, index, std::move(*block)});
    by_key_[key(number, index)] = order_.begin();
    while (bytes_ > max_bytes_ && order_.size() > 1) drop(std::prev(order_.end()));
  } else {
    ++hits_;
    order_.splice(order_.begin(), order_, known->second);
  }
  return part(order_.front(), inside);
}

void BlockCache::forget(uint64_t number) {
  for (auto it = order_.begin(); it != order_.end();) {
    const auto here = it++;
    if (here->number == number) drop(here);
  }
}

}  // namespace sluice
