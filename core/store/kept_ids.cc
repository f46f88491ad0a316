#include "store/kept_ids.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "store/segment.h"

namespace sluice {

using format::Record;
using format::RecordType;

namespace {
constexpr size_t kWriteAt = kMiB;

void note(IdFile& file, const Record& r, uint64_t offset, size_t size) {
  file.newest = std::max(file.newest, r.time);
  const auto [span, fresh] = file.streams.try_emplace(r.stream, IdFile::Span{offset, 0});
  span->second.end = offset + size;
}

Status scan(File& file, uint64_t begin, uint64_t end, uint64_t seed, Sealer* sealer,
            const std::function<void(const Record&, uint64_t offset, size_t size)>& visit) {
  auto scanned = scan_records(file, begin, end, seed, [&](const Record& r, uint64_t offset, std::span<std::byte> bytes) {
    if (r.type == RecordType::kSkip && format::open_record(bytes.data(), seed, sealer)) visit(r, offset, bytes.size());
  });
  if (!scanned) return std::unexpected(scanned.error());
  return {};
}
}  // namespace

Result<IdFile> write_ids(Disk& disk, const std::string& dir, uint64_t number, uint64_t store_id, const std::vector<KeptId>& ids,
                         Sealer* sealer) {
  IdFile made{number, fmt::format("{}/{:08}.ids", dir, number), format::kBlock, 0, {}};
  const std::string tmp = fmt::format("{}/{:08}.tmp", dir, number);
  const uint64_t seed = format::file_seed(store_id, number);
  std::vector<std::byte> bytes(format::kBlock);
  format::encode_file_header(bytes.data(), {.magic = format::kIdsMagic,
                                            .version = sealer == nullptr ? format::kVersion : format::kSealedVersion,
                                            .store_id = store_id, .number = number,
                                            .key_id = sealer == nullptr ? 0 : sealer->keys().keys.front().id});
  const auto write = [&]() -> Status {
    auto file = disk.open(tmp, OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    if (auto s = (*file)->truncate(0); !s) return s;
    uint64_t written = 0;
    const auto flush = [&]() -> Status {
      if (auto s = (*file)->write_at(written, bytes); !s) return s;
      written += bytes.size();
      bytes.clear();
      return (*file)->sync();  // in steps, so that no commit waits behind a whole file
    };
    for (const KeptId& id : ids) {
      Record r;
      r.type = RecordType::kSkip;
      r.stream = id.stream;
      r.seq = id.seq;
      r.time = id.time;
      r.msg_id = id.id;
      r.sealed = sealer != nullptr;
      const size_t size = format::record_size(r);
      bytes.resize(bytes.size() + size);
      format::encode_record(bytes.data() + bytes.size() - size, size, r, seed, sealer);
      note(made, r, made.size, size);
      made.size += size;
      if (bytes.size() < kWriteAt) continue;
      if (auto s = flush(); !s) return s;
    }
    if (auto s = flush(); !s) return s;
    file->reset();
    if (auto s = disk.rename(tmp, made.path); !s) return s;
    return disk.sync_dir(dir);
  };
  if (auto s = write(); !s) {
    (void)disk.remove(tmp);
    return std::unexpected(s.error());
  }
  return made;
}

Result<IdFile> open_ids(Disk& disk, const std::string& path, uint64_t number, uint64_t store_id, Sealer* sealer) {
  auto file = disk.open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  std::vector<std::byte> head(format::kBlock);
  auto got = (*file)->read_at(0, head);
  if (!got) return std::unexpected(got.error());
  head.resize(*got);
  const auto header = format::decode_file_header(head, format::kIdsMagic);
  if (header && header->version > format::kSealedVersion) return fail(Errc::kUnsupported, path + " is of a newer format");
  if (header && (header->store_id != store_id || header->number != number)) return fail(Errc::kCorrupt, "ids of another store");
  IdFile opened{number, path, *size, 0, {}};
  const uint64_t seed = format::file_seed(store_id, number);
  auto s = scan(**file, format::kBlock, *size, seed, sealer,
                [&](const Record& r, uint64_t offset, size_t bytes) { note(opened, r, offset, bytes); });
  if (!s) return std::unexpected(s.error());
  return opened;
}

Status read_ids(Disk& disk, const IdFile& file, uint32_t stream, uint64_t store_id, Sealer* sealer,
                const std::function<void(const Record&)>& visit) {
  const auto span = file.streams.find(stream);
  if (span == file.streams.end()) return {};
  auto opened = disk.open(file.path, OpenMode::kRead);
  if (!opened) return std::unexpected(opened.error());
  return scan(**opened, span->second.begin, span->second.end, format::file_seed(store_id, file.number), sealer,
              [&](const Record& r, uint64_t, size_t) {
                if (r.stream == stream) visit(r);
              });
}

}  // namespace sluice
