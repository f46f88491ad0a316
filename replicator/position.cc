#include "replicator/position.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <vector>

namespace sluice {
namespace {

constexpr std::string_view kHead = "sluice-copy-position 2\n";
constexpr size_t kMaxFile_bytes = 4096;

// FNV-1a: enough to notice a torn or edited file; what it says is held against the target anyway.
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

/// The counts in the order in which they are written.
template <class LedgerT>
auto counts_of(LedgerT& l) {
  return std::array{&l.read, &l.filtered, &l.sampled, &l.expired, &l.dead_lettered, &l.removed, &l.purged, &l.recreated};
}

std::string format_counts(const Ledger& ledger) {
  std::string text;
  for (const uint64_t* count : counts_of(ledger)) {
    const fmt::format_int digits(*count);
    text.append(1, ' ').append(digits.data(), digits.size());
  }
  return text;
}

/// @return false unless the counts are whole and leave something non-negative for `copied`.
bool parse_counts(std::string_view text, Ledger& ledger) {
  uint64_t others = 0;
  for (uint64_t* count : counts_of(ledger)) {
    if (!text.starts_with(' ')) return false;
    text.remove_prefix(1);
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *count);
    if (error != std::errc{}) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (count != &ledger.read && __builtin_add_overflow(others, *count, &others)) return false;
  }
  if (!text.empty() || others > ledger.read) return false;
  ledger.copied = ledger.read - others;
  return true;
}

std::optional<std::string_view> take_line(std::string_view& text, std::string_view key) {
  const size_t end = text.find('\n');
  if (!text.starts_with(key) || end == text.npos) return std::nullopt;
  const std::string_view line = text.substr(key.size(), end - key.size());
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace

std::string encode_position(const CopyPosition& position) {
  std::string text = fmt::format("{}origin {}\nsource {}\ntarget {}\nend {}\nshared {}\ncounts{}\n", kHead,
                                 position.origin_created, position.source_seq.value(),
                                 position.target_seq.value(), position.source_end.value(), position.shared ? 1 : 0,
                                 format_counts(position.ledger));
  return text + fmt::format("sum {}\n", fingerprint(text));
}

std::optional<CopyPosition> decode_position(std::string_view text) {
  std::string_view rest = text;
  if (!rest.starts_with(kHead)) return std::nullopt;
  rest.remove_prefix(kHead.size());
  CopyPosition position;
  uint64_t source = 0, target = 0, end = 0, sum = 0;
  int shared = 0;
  if (!take_field(rest, "origin ", position.origin_created) || !take_field(rest, "source ", source) ||
      !take_field(rest, "target ", target) || !take_field(rest, "end ", end) ||
      !take_field(rest, "shared ", shared)) {
    return std::nullopt;
  }
  const auto counts = take_line(rest, "counts");
  if (!counts || !parse_counts(*counts, position.ledger)) return std::nullopt;
  std::string_view summed = text.substr(0, text.size() - rest.size());
  if (!take_field(rest, "sum ", sum) || !rest.empty() || sum != fingerprint(summed)) return std::nullopt;
  position.source_seq = StreamSeq(source);
  position.target_seq = StreamSeq(target);
  position.source_end = StreamSeq(end);
  position.shared = shared != 0;
  return position;
}

std::string format_position_header(const CopyPosition& position) {
  return fmt::format(FMT_COMPILE("{} {}{}"), position.origin_created, position.source_seq.value(), format_counts(position.ledger));
}

std::optional<CopyPosition> parse_position_header(std::string_view value) {
  CopyPosition position;
  uint64_t seq = 0;
  const char* const end = value.data() + value.size();
  auto [after_origin, bad_origin] = std::from_chars(value.data(), end, position.origin_created);
  if (bad_origin != std::errc{} || after_origin == end || *after_origin != ' ') return std::nullopt;
  auto [after_seq, bad_seq] = std::from_chars(after_origin + 1, end, seq);
  if (bad_seq != std::errc{} || !parse_counts({after_seq, static_cast<size_t>(end - after_seq)}, position.ledger))
    return std::nullopt;
  position.source_seq = StreamSeq(seq);
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

Status write_state_file(Disk& disk, const std::string& dir, const std::string& name, std::string_view text) {
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
    if (auto cut = (*file)->truncate(0); !cut) return cut;
    auto wrote = (*file)->write_at(0, std::as_bytes(std::span(text.data(), text.size())));
    if (!wrote) return wrote;
    if (auto synced = (*file)->sync(); !synced) return synced;
  }
  if (auto renamed = disk.rename(fresh, path); !renamed) return renamed;
  return disk.sync_dir(dir);
}

}  // namespace sluice
