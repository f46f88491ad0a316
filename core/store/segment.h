// Segments: the old generation. Written once by a worker; opened by trailer and summary or, when these are damaged
// beyond repair, by scan.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/disk.h"
#include "store/message_run.h"
#include "store/segment_format.h"

namespace sluice {

/// One message of a segment; sorted by (stream, sequence) these are its index.
struct SegmentEntry {
  uint32_t stream = 0;
  format::IndexEntry at;
};

/// How the messages of a segment are found.
struct SegmentShape {
  std::optional<format::SegmentTrailer> trailer;  ///< by its index pages
  std::vector<SegmentEntry> resident;             ///< without a trailer: by what a scan found
};

/// Any one thread. Writes `dir`/NNNNNNNN.tmp; finish() makes it a segment, durable.
class SegmentWriter {
 public:
  /// `sealer` (null: not encrypted) must outlive it.
  SegmentWriter(Disk& disk, std::string dir, uint64_t number, uint64_t store_id, Sealer* sealer);
  Status begin();
  /// So many messages will be added.
  void reserve(size_t messages) { entries_.reserve(messages); }
  /// Messages come sorted by (stream, sequence); small ones of a stream share a record.
  Status add(const format::Record& message);
  /// Messages of one stream, compressed together where that pays.
  Status add_packed(const std::vector<format::Record>& messages);
  Status finish();
  /// Removes what was written. After a failure.
  void abandon();
  const std::string& path() const { return path_; }
  uint64_t size() const { return offset_; }

  // -- after finish()
  const format::SegmentTrailer& trailer() const { return trailer_; }
  const std::vector<SegmentEntry>& entries() const { return entries_; }
  const std::vector<std::byte>& summary() const { return summary_; }

 private:
  Status add_alone(const format::Record& message);
  std::vector<std::byte> encode_alone(const format::Record& message) const;
  Status end_run();
  void put(std::span<const std::byte> bytes);
  void note(const format::Record& record, uint64_t where);
  void pad_to_page();
  Status flush();
  void put_index();
  void put_parity();
  void put_tables();

  Disk& disk_;
  std::string dir_;
  std::string path_;
  std::string tmp_path_;
  uint64_t seed_;
  Sealer* sealer_;
  std::unique_ptr<File> file_;
  std::vector<std::byte> buffer_;  ///< begins on a page
  uint64_t buffer_at_ = 0;
  uint64_t offset_ = 0;
  std::optional<format::RunBuilder> run_;
  std::vector<std::byte> first_alone_;  ///< its first message as a record of its own, should no other come
  format::SegmentTrailer trailer_;
  std::vector<SegmentEntry> entries_;
  std::vector<std::byte> summary_;
  format::SummaryBuilder builder_;
  std::vector<uint64_t> checks_;           ///< of the pages flushed so far
  std::vector<std::byte> parity_;          ///< parity pages so far
  bool protecting_ = true;                 ///< pages flushed now belong to parity groups
};

struct OpenedSegment {
  uint64_t size = 0;
  uint32_t version = 0;  ///< 0: its header is damaged
  std::shared_ptr<const SegmentShape> shape;
  std::vector<std::byte> summary;
  bool scanned = false;
  uint32_t repaired = 0;  ///< pages of the summary rebuilt from parity
  uint64_t damaged = 0;  ///< stretches without a good record, in a scan
};
/// kCorrupt: a segment of another store or number, or nothing readable in it. kIo: not readable. A damaged summary is
/// mended when `file` is open for writing. `sealer`: null when no key is known.
Result<OpenedSegment> open_segment(File& file, uint64_t number, uint64_t store_id, Sealer* sealer);
/// The trailer, from either copy; kCorrupt when neither is intact.
Result<format::SegmentTrailer> read_trailer(File& file, uint64_t size, uint64_t number, uint64_t store_id);
/// The summary, opened; kCorrupt when it does not fit its checksum, or no key fits it.
Result<std::vector<std::byte>> read_summary(File& file, const format::SegmentTrailer& trailer, uint64_t seed, Sealer* sealer);

/// The messages of a segment by its records alone.
Result<std::vector<SegmentEntry>> scan_segment(File& file, uint64_t size, uint64_t seed, Sealer* sealer);

/// (record, offset, bytes of the record); views last for the call.
using RecordVisit = std::function<void(const format::Record&, uint64_t, std::span<std::byte>)>;
/// Calls `visit` for every intact record in [begin, end) of a file; a sealed one is `visit`'s to open. Of a run that is damaged
/// for every message that is intact, with the run's offset.
/// @return how many stretches held none; in a journal file that is its headers and padding too.
Result<uint64_t> scan_records(File& file, uint64_t begin, uint64_t end, uint64_t seed, const RecordVisit& visit);

}  // namespace sluice
