// Message ids that outlive the file of their message: those of the duplicate window whose message is removed.
//
// A retirement writes them to a file of their own, once; it is only read when the store is opened, and goes when the
// window has passed it. Nothing here knows the store. docs/storage_format.md has the bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"
#include "io/disk.h"
#include "store/record_format.h"

namespace sluice {

struct KeptId {
  uint32_t stream = 0;
  uint64_t seq = 0;
  WallNanos time = 0;
  std::string id;
};

/// What RAM knows of such a file.
struct IdFile {
  uint64_t number = 0;
  std::string path;
  uint64_t size = 0;
  WallNanos newest = 0;
  struct Span {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  std::map<uint32_t, Span> streams;  ///< where the ids of each stand
};

/// Blocking. Writes `dir`/NNNNNNNN.ids, durable when it returns. `ids` are sorted by (stream, sequence).
Result<IdFile> write_ids(Disk& disk, const std::string& dir, uint64_t number, uint64_t store_id, const std::vector<KeptId>& ids,
                         Sealer* sealer);
/// kCorrupt: not a file of ids of this store. kUnsupported: of a newer format. Single ids that are damaged, or which no key
/// opens, are left out.
Result<IdFile> open_ids(Disk& disk, const std::string& path, uint64_t number, uint64_t store_id, Sealer* sealer);
/// The ids of one stream, rising.
Status read_ids(Disk& disk, const IdFile& file, uint32_t stream, uint64_t store_id, Sealer* sealer,
                const std::function<void(const format::Record&)>& visit);

}  // namespace sluice
