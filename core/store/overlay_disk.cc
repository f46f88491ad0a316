#include "store/overlay_disk.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sluice {
namespace {

constexpr uint64_t kPage = 4096;
using Page = std::array<std::byte, kPage>;

bool all_zeros(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

class NoLock : public DirLock {};

}  // namespace

struct OverlayDisk::Node {
  std::mutex mutex;
  std::unique_ptr<File> below;  ///< null: made here
  uint64_t below_size = 0;      ///< how much of it still shows
  uint64_t size = 0;
  std::map<uint64_t, std::unique_ptr<Page>> pages;

  /// Fills `into` from what lies below `offset`; zeros beyond.
  Status read_below(uint64_t offset, std::span<std::byte> into) {
    std::fill(into.begin(), into.end(), std::byte{0});
    if (below == nullptr || offset >= below_size) return {};
    auto got = below->read_at(offset, into.first(std::min<uint64_t>(into.size(), below_size - offset)));
    return got ? Status() : Status(std::unexpected(got.error()));
  }

  Result<Page*> own(uint64_t page) {
    auto& slot = pages[page];
    if (slot == nullptr) {
      auto fresh = std::make_unique<Page>();
      if (auto s = read_below(page * kPage, *fresh); !s) {
        pages.erase(page);
        return std::unexpected(s.error());
      }
      slot = std::move(fresh);
    }
    return slot.get();
  }
};

class OverlayDisk::OverlayFile : public File {
 public:
  OverlayFile(std::shared_ptr<Node> node, bool writable) : node_(std::move(node)), writable_(writable) {}

  Result<size_t> read_at(uint64_t offset, std::span<std::byte> into) override {
    const std::scoped_lock lock(node_->mutex);
    if (offset >= node_->size) return 0U;
    into = into.first(std::min<uint64_t>(into.size(), node_->size - offset));
    if (auto s = node_->read_below(offset, into); !s) return std::unexpected(s.error());
    auto page = node_->pages.lower_bound(offset / kPage);
    for (; page != node_->pages.end() && page->first * kPage < offset + into.size(); ++page) {
      const uint64_t begin = std::max(offset, page->first * kPage);
      const uint64_t end = std::min(offset + into.size(), (page->first + 1) * kPage);
      std::memcpy(into.data() + (begin - offset), page->second->data() + begin % kPage, end - begin);
    }
    return into.size();
  }

  Status write_at(uint64_t offset, std::span<const std::byte> bytes) override {
    if (!writable_) return fail(Errc::kIo, "file is open for reading only");
    const std::scoped_lock lock(node_->mutex);
    const uint64_t end = offset + bytes.size();
    while (!bytes.empty()) {
      const uint64_t within = offset % kPage;
      const auto part = bytes.first(std::min<uint64_t>(bytes.size(), kPage - within));
      const bool hole = !node_->pages.contains(offset / kPage) && offset / kPage * kPage >= node_->below_size;
      if (!hole || !all_zeros(part)) {
        auto page = node_->own(offset / kPage);
        if (!page) return std::unexpected(page.error());
        std::memcpy((*page)->data() + within, part.data(), part.size());
      }
      offset += part.size();
      bytes = bytes.subspan(part.size());
    }
    node_->size = std::max(node_->size, end);
    return {};
  }

  Status sync() override { return {}; }

  Result<uint64_t> size() override {
    const std::scoped_lock lock(node_->mutex);
    return node_->size;
  }

  Status truncate(uint64_t size) override {
    if (!writable_) return fail(Errc::kIo, "file is open for reading only");
    const std::scoped_lock lock(node_->mutex);
    if (size < node_->size) {
      if (size % kPage != 0) {
        auto page = node_->own(size / kPage);
        if (!page) return std::unexpected(page.error());
        std::fill((*page)->begin() + static_cast<std::ptrdiff_t>(size % kPage), (*page)->end(), std::byte{0});
      }
      node_->pages.erase(node_->pages.lower_bound((size + kPage - 1) / kPage), node_->pages.end());
      node_->below_size = std::min(node_->below_size, size);
    }
    node_->size = size;
    return {};
  }

  Status allocate(uint64_t size) override {
    const std::scoped_lock lock(node_->mutex);
    node_->size = std::max(node_->size, size);
    return {};
  }

 private:
  std::shared_ptr<Node> node_;
  bool writable_;
};

Result<std::shared_ptr<OverlayDisk::Node>> OverlayDisk::node_at(const std::string& path) {
  if (const auto found = nodes_.find(path); found != nodes_.end()) {
    if (found->second == nullptr) return fail(Errc::kNotFound, path);
    return found->second;
  }
  auto below = below_.open(path, OpenMode::kRead);
  if (!below) return std::unexpected(below.error());
  auto size = (*below)->size();
  if (!size) return std::unexpected(size.error());
  auto node = std::make_shared<Node>();
  node->below = std::move(*below);
  node->below_size = node->size = *size;
  return nodes_[path] = std::move(node);
}

Result<std::unique_ptr<File>> OverlayDisk::open(const std::string& path, OpenMode mode) {
  const std::scoped_lock lock(mutex_);
  const auto found = nodes_.find(path);
  const bool there = found == nodes_.end() ? below_.exists(path) : found->second != nullptr;
  if (!there && mode == OpenMode::kCreate) nodes_[path] = std::make_shared<Node>();
  auto node = node_at(path);
  if (!node) return std::unexpected(node.error());
  return std::make_unique<OverlayFile>(std::move(*node), mode != OpenMode::kRead);
}

Status OverlayDisk::rename(const std::string& from, const std::string& to) {
  const std::scoped_lock lock(mutex_);
  auto node = node_at(from);
  if (!node) return std::unexpected(node.error());
  nodes_[to] = *node;
  if (from != to) nodes_[from] = nullptr;
  return {};
}

Status OverlayDisk::remove(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  const auto found = nodes_.find(path);
  if (found == nodes_.end() ? !below_.exists(path) : found->second == nullptr) return fail(Errc::kNotFound, path);
  nodes_[path] = nullptr;
  return {};
}

bool OverlayDisk::exists(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  if (folders_.contains(path)) return true;
  const auto found = nodes_.find(path);
  return found == nodes_.end() ? below_.exists(path) : found->second != nullptr;
}

Result<std::vector<std::string>> OverlayDisk::list(const std::string& dir) {
  const std::scoped_lock lock(mutex_);
  std::set<std::string> names;
  if (auto below = below_.list(dir)) {
    names.insert(below->begin(), below->end());
  } else if (!folders_.contains(dir)) {
    return std::unexpected(below.error());
  }
  for (const auto& [path, node] : nodes_) {
    if (folder_of(path) != dir) continue;
    const std::string name = path.substr(path.rfind('/') + 1);
    if (node != nullptr) names.insert(name);
    if (node == nullptr) names.erase(name);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Status OverlayDisk::make_dirs(const std::string& dir) {
  const std::scoped_lock lock(mutex_);
  if (!below_.exists(dir)) folders_.insert(dir);
  return {};
}

Status OverlayDisk::remove_dir(const std::string& dir) {
  const std::scoped_lock lock(mutex_);
  if (folders_.erase(dir) == 0) return fail(Errc::kUnsupported, "a folder below the overlay stays: " + dir);
  return {};
}

Status OverlayDisk::sync_dir(const std::string&) { return {}; }

Result<std::unique_ptr<DirLock>> OverlayDisk::lock_dir(const std::string& dir) {
  if (!below_.exists(dir + "/LOCK")) return std::make_unique<NoLock>();
  auto lock = below_.lock_dir(dir);
  if (!lock && lock.error().code != Errc::kExists) return std::make_unique<NoLock>();
  return lock;
}

}  // namespace sluice
