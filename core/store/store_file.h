// What the store keeps in RAM about each of its files, and the newest parts of journal files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "io/disk.h"
#include "store/leftovers.h"
#include "store/segment.h"

namespace sluice {

/// A piece of a journal file as built in memory. Whole batches only; freed when evicted and written.
struct Window {
  explicit Window(size_t size) : capacity(size), bytes(std::make_unique_for_overwrite<std::byte[]>(size)) {}
  uint64_t file_offset = 0;
  size_t capacity;
  size_t used = 0;
  uint64_t last_batch = 0;  ///< newest batch in it; evictable once that is written
  std::unique_ptr<std::byte[]> bytes;
};

/// The sequences of one stream within one file (bounds, not every one is there).
struct StreamSpan {
  uint64_t first = UINT64_MAX;
  uint64_t last = 0;
  bool states_facts = false;  ///< removals, purges or skips stand in it

  void widen(uint64_t seq) {
    if (seq < first) first = seq;
    if (seq > last) last = seq;
  }
  bool covers(uint64_t seq) const { return first <= seq && seq <= last; }
};

/// What a segment holds of one stream.
struct SegmentPart {
  uint32_t stream = 0;
  uint32_t first_entry = 0;
  uint32_t entries = 0;
  uint32_t live = 0;
  uint64_t first = 0;  ///< sequences, both in
  uint64_t last = 0;
  uint64_t live_bytes = 0;  ///< accounted
  WallNanos last_time = 0;  ///< of its newest message
};

struct StoreFile {
  uint64_t number = 0;
  bool is_journal = false;
  std::string path;
  uint64_t size = 0;
  uint64_t seed = 0;           ///< of its checksums
  std::shared_ptr<File> file;  ///< null: not opened (journal: not created yet)
  uint64_t messages = 0;       ///< ever written to it
  uint64_t live_messages = 0;
  uint64_t message_bytes = 0;  ///< accounted
  uint64_t live_bytes = 0;
  WallNanos ids_until = INT64_MIN;  ///< journal: newest time of a record with a message id
  uint32_t erases_pending = 0;
  bool leaving = false;        ///< its removal or recycling is on its way
  uint64_t full_commit = 0;    ///< journal: newest commit in it, once it is full
  uint64_t used = 0;           ///< journal: end of its last batch, once it is full
  uint64_t end_batch = UINT64_MAX;  ///< journal: batches from this one on were cut at a start, whatever stands in them
  uint64_t tail = 0;           ///< journal: nothing that counts lies from here on, once it is full; its size when that is not known
  Leftovers leftovers;         ///< journal: of its earlier uses
  bool cut = false;            ///< journal: batches that do not count tell which sequences were given out
  bool wiping = false;         ///< journal: zeros are on their way over its tail
  uint32_t version = 0;        ///< segment: of its format; 0 not known
  bool damaged = false;        ///< segment: has pages that can't be rebuilt; to be written anew
  std::vector<SegmentPart> parts;             ///< segment: by rising stream
  std::shared_ptr<const SegmentShape> shape;  ///< segment
  std::unordered_map<uint32_t, StreamSpan> streams;  ///< journal
  std::unordered_set<uint64_t> consumers;
  std::unordered_set<uint32_t> deleted_streams;
  std::deque<std::shared_ptr<Window>> windows;

  SegmentPart* part_of(uint32_t stream) {
    const auto it = std::lower_bound(parts.begin(), parts.end(), stream,
                                     [](const SegmentPart& p, uint32_t id) { return p.stream < id; });
    return it != parts.end() && it->stream == stream ? &*it : nullptr;
  }
  bool may_hold(uint32_t stream, uint64_t seq) {
    if (!is_journal) {
      const SegmentPart* part = part_of(stream);
      return part != nullptr && part->first <= seq && seq <= part->last;
    }
    const auto span = streams.find(stream);
    return span != streams.end() && span->second.covers(seq);
  }
  bool holds(uint32_t stream) { return is_journal ? streams.contains(stream) : part_of(stream) != nullptr; }
  /// Its parts, from a summary that parses; all of them alive.
  void take_parts(std::span<const std::byte> summary) {
    format::read_summary_parts(summary, [this](const format::PartSummary& s) {
      parts.push_back({s.stream, s.first_entry, s.entries, s.entries, s.ranges.front().first, s.ranges.back().last, s.bytes, s.last_time});
      messages += s.entries;
      message_bytes += s.bytes;
    });
  }

  const std::shared_ptr<Window>* window_at(uint64_t offset) const {
    for (auto it = windows.rbegin(); it != windows.rend(); ++it) {
      if (offset >= (*it)->file_offset) return offset < (*it)->file_offset + (*it)->used ? &*it : nullptr;
    }
    return nullptr;
  }
};

/// All files by number. Loop thread only; the pointers live until erase().
class FileTable {
 public:
  StoreFile& add(uint64_t number, bool is_journal, std::string path) {
    auto& slot = files_[number];
    slot = std::make_unique<StoreFile>();
    slot->number = number;
    slot->is_journal = is_journal;
    slot->path = std::move(path);
    return *slot;
  }
  StoreFile* find(uint64_t number) const {
    if (last_ != nullptr && last_->number == number) return last_;
    const auto it = files_.find(number);
    if (it == files_.end()) return nullptr;
    return last_ = it->second.get();
  }
  void erase(uint64_t number) {
    last_ = nullptr;
    files_.erase(number);
  }
  const std::map<uint64_t, std::unique_ptr<StoreFile>>& all() const { return files_; }

 private:
  std::map<uint64_t, std::unique_ptr<StoreFile>> files_;
  mutable StoreFile* last_ = nullptr;
};

}  // namespace sluice
