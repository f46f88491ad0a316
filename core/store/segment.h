// Segments: the old generation. Written once by a worker, read by footer or, when that is damaged, by scan.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "io/disk.h"
#include "store/record_format.h"

namespace sluice {

struct SegmentEntry {
  uint32_t stream = 0;
  uint64_t seq = 0;
  WallNanos time = 0;
  uint64_t offset = 0;
  uint32_t accounted_bytes = 0;
  bool has_msg_id = false;
};

/// Any one thread. Writes `dir`/NNNNNNNN.tmp; finish() makes it a segment, durable.
class SegmentWriter {
 public:
  SegmentWriter(Disk& disk, std::string dir, uint64_t number, uint64_t store_id);
  Status begin();
  /// @return where it lies.
  Result<uint64_t> add(const format::Record& record);
  Status finish();
  /// Removes what was written. After a failure.
  void abandon();
  const std::string& path() const { return path_; }
  uint64_t size() const { return offset_; }

 private:
  Status flush();
  void put_footer();

  Disk& disk_;
  std::string dir_;
  std::string path_;
  std::string tmp_path_;
  uint64_t number_;
  uint64_t store_id_;
  uint64_t seed_;
  std::unique_ptr<File> file_;
  std::vector<std::byte> buffer_;
  uint64_t buffer_at_ = 0;
  uint64_t offset_ = 0;
  std::unordered_map<std::string, uint32_t> subject_numbers_;
  std::vector<const std::string*> subjects_;
  struct Entry {
    SegmentEntry entry;
    uint32_t subject;
  };
  std::vector<Entry> entries_;
};

struct SegmentRead {
  uint64_t size = 0;
  bool scanned = false;  ///< the footer was no good
  uint64_t damaged = 0;  ///< stretches without a good record, in a scan
};
/// Calls `visit` for every message of a segment. kCorrupt: not even a header of this store.
Result<SegmentRead> read_segment(File& file, uint64_t number, uint64_t store_id,
                                 const std::function<void(const SegmentEntry&, std::string_view subject)>& visit);

}  // namespace sluice
