#include "replicator/position.h"

#include <fmt/format.h>

#include <charconv>
#include <vector>

namespace sluice {
namespace {

constexpr std::string_view kHead = "sluice-copy-position 1\n";
constexpr size_t kMaxFile_bytes = 4096;

// FNV-1a: enough to notice a torn or edited file; what it says is checked against the target anyway.
uint64_t fingerprint(std::string_view text) {
  uint64_t hash = 14695981039346656037ull;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

template <class T>
bool take_field(std::string_view& text, std::string_view key, T& value) {
  if (!text.starts_with(key)) return false;
  text.remove_prefix(key.size());
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data() + text.size() || *end != '\n') return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return true;
}

}  // namespace

std::string encode_position(const CopyPosition& position) {
  std::string text = fmt::format("{}origin {}\nsource {}\ntarget {}\n", kHead, position.origin_created,
                                 position.source_seq.value(), position.target_seq.value());
  return text + fmt::format("sum {}\n", fingerprint(text));
}

std::optional<CopyPosition> decode_position(std::string_view text) {
  std::string_view rest = text;
  if (!rest.starts_with(kHead)) return std::nullopt;
  rest.remove_prefix(kHead.size());
  CopyPosition position;
  uint64_t source = 0, target = 0, sum = 0;
  if (!take_field(rest, "origin ", position.origin_created) || !take_field(rest, "source ", source) ||
      !take_field(rest, "target ", target)) {
    return std::nullopt;
  }
  std::string_view summed = text.substr(0, text.size() - rest.size());
  if (!take_field(rest, "sum ", sum) || !rest.empty() || sum != fingerprint(summed)) return std::nullopt;
  position.source_seq = StreamSeq(source);
  position.target_seq = StreamSeq(target);
  return position;
}

Result<CopyPosition> read_position(Disk& disk, const std::string& path) {
  if (!disk.exists(path)) return fail(Errc::kNotFound, path);
  auto file = disk.open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  std::vector<std::byte> bytes(kMaxFile_bytes);
  auto read = (*file)->read_at(0, bytes);
  if (!read) return std::unexpected(read.error());
  auto position = decode_position({reinterpret_cast<const char*>(bytes.data()), *read});
  if (!position) return fail(Errc::kCorrupt, path + " does not hold a position");
  return *position;
}

Status write_position(Disk& disk, const std::string& dir, const std::string& name,
                      const CopyPosition& position) {
  if (!disk.exists(dir)) {
    if (auto made = disk.make_dirs(dir); !made) return made;
    // The folder's own name is durable only when its parent is synced.
    size_t slash = dir.find_last_of('/');
    const std::string parent = slash == dir.npos ? "." : slash == 0 ? "/" : dir.substr(0, slash);
    if (auto synced = disk.sync_dir(parent); !synced) return synced;
  }
  const std::string path = dir + "/" + name;
  const std::string fresh = path + ".new";
  {
    auto file = disk.open(fresh, OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    std::string text = encode_position(position);
    if (auto cut = (*file)->truncate(0); !cut) return cut;
    auto wrote = (*file)->write_at(0, std::as_bytes(std::span(text.data(), text.size())));
    if (!wrote) return wrote;
    if (auto synced = (*file)->sync(); !synced) return synced;
  }
  if (auto renamed = disk.rename(fresh, path); !renamed) return renamed;
  return disk.sync_dir(dir);
}

}  // namespace sluice
