#include "store/copy_job.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/endian.h"
#include "base/large_memory.h"
#include "base/limits.h"
#include "store/packed.h"

namespace sluice {

using format::Record;
using format::RecordType;

const SegmentEntry* CopyJob::find(uint32_t stream, uint64_t seq) const {
  const auto it = std::lower_bound(entries.begin(), entries.end(), std::pair(stream, seq), [](const SegmentEntry& e, const auto& key) {
    return std::pair(e.stream, e.at.seq) < key;
  });
  return it != entries.end() && it->stream == stream && it->at.seq == seq ? &*it : nullptr;
}

bool CopyJob::copies(uint64_t file_number) const {
  return std::any_of(sources.begin(), sources.end(), [&](const Source& s) { return s.number == file_number; });
}

bool CopyJob::Alive::contains(uint64_t seq) const {
  if (seq < first || seq > last) return false;
  const auto it = std::upper_bound(gaps.begin(), gaps.end(), seq, [](uint64_t s, const format::SeqRange& r) { return s < r.first; });
  return it == gaps.begin() || std::prev(it)->last < seq;
}

namespace {

/// Gathers the living records of all sources, by stream: each journal file and segment states those of one stream in rising
/// order, so that hardly anything is left to sort.
class Gathering {
 public:
  explicit Gathering(CopyJob& job)
      : job_(job),
        sealer_(job.keys == nullptr ? nullptr : std::make_unique<Sealer>(job.keys)),
        memory_(job.memory != nullptr ? job.memory : std::make_shared<LargeMemoryStock>(0)) {}
  ~Gathering() {
    for (LargePiece& file : files_) memory_->give_back(std::move(file));
    memory_->give_back(std::move(file_));
  }
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;

  Status read(File& file, const CopyJob::Source& source) {
    source_ = source.number;
    seed_ = source.seed;
    return source.is_journal ? read_journal(file, source) : read_segment(file, source);
  }

  /// Writes the segment, if anything lives.
  Status write(Disk& disk) {
    if (auto s = write_kept_ids(disk); !s) return s;
    if (messages_ == 0) return {};
    SegmentWriter writer(disk, job_.dir, job_.number, job_.store_id, sealer_.get());
    writer.reserve(messages_);
    Status result = write_items(writer);
    if (!result) {
      writer.abandon();
      return result;
    }
    job_.made = true;
    job_.path = writer.path();
    job_.size = writer.size();
    job_.shape = std::make_shared<SegmentShape>(SegmentShape{writer.trailer(), {}});
    job_.summary = writer.summary();
    job_.entries = writer.entries();
    for (const SegmentEntry& e : job_.entries) job_.accounted_bytes += e.at.accounted_bytes;
    return {};
  }

 private:
  struct Item {
    uint64_t seq;
    uint64_t source;
    const std::byte* at;
    size_t size;
    bool operator<(const Item& other) const {  // of copies the newest first
      return seq != other.seq ? seq < other.seq : source > other.source;
    }
  };

  Status write_kept_ids(Disk& disk) {
    if (ids_.empty()) return {};
    const auto key = [](const KeptId& id) { return std::pair(id.stream, id.seq); };
    std::stable_sort(ids_.begin(), ids_.end(), [&](const KeptId& a, const KeptId& b) { return key(a) < key(b); });
    ids_.erase(std::unique(ids_.begin(), ids_.end(), [&](const KeptId& a, const KeptId& b) { return key(a) == key(b); }), ids_.end());
    auto written = write_ids(disk, job_.dir, job_.ids_number, job_.store_id, ids_, sealer_.get());
    if (!written) return std::unexpected(written.error());
    job_.ids = std::move(*written);
    return {};
  }

  Status write_items(SegmentWriter& writer) {
    if (auto s = writer.begin(); !s) return s;
    std::vector<uint32_t> streams;
    for (const auto& [stream, items] : items_) streams.push_back(stream);
    std::sort(streams.begin(), streams.end());
    for (const uint32_t stream : streams) {
      std::vector<Item>& items = items_[stream];
      if (!std::is_sorted(items.begin(), items.end())) std::sort(items.begin(), items.end());
      const auto same = [](const Item& a, const Item& b) { return a.seq == b.seq; };
      items.erase(std::unique(items.begin(), items.end(), same), items.end());
      if (auto s = job_.compress.contains(stream) ? write_packed(writer, items) : write_plain(writer, items); !s) return s;
    }
    return writer.finish();
  }

  static Status write_plain(SegmentWriter& writer, const std::vector<Item>& items) {
    constexpr size_t kAhead = 8;  // records of one stream may lie far apart
    constexpr size_t kLine = 64;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i + kAhead < items.size()) {
        const Item& soon = items[i + kAhead];
        for (size_t at = 0; at < std::min<size_t>(soon.size, 4 * kLine); at += kLine) __builtin_prefetch(soon.at + at);
      }
      if (auto s = writer.add(*format::parse_record({items[i].at, items[i].size})); !s) return s;
    }
    return {};
  }

  static Status write_packed(SegmentWriter& writer, const std::vector<Item>& items) {
    std::vector<Record> run;
    size_t run_bytes = 0;
    for (const Item& item : items) {
      if (!run.empty() && run_bytes + item.size > format::kPackedRun) {
        if (auto s = writer.add_packed(std::exchange(run, {})); !s) return s;
        run_bytes = 0;
      }
      run.push_back(*format::parse_record({item.at, item.size}));
      run_bytes += item.size;
    }
    return run.empty() ? Status() : writer.add_packed(run);
  }

  /// `bytes` of a sealed record become those of an opened one.
  void take(const Record& r, std::span<std::byte> bytes) {
    if (r.type == RecordType::kRemove || r.type == RecordType::kErase) return take_removal(r);
    if (format::is_run(r.type)) {
      if (!format::open_record(bytes.data(), seed_, sealer_.get())) return;
      if (const auto packed = format::unpack(r)) {
        format::each_in_run(*packed, [this](const Record& inner, std::span<const std::byte> its) { take_message(inner, its); });
      }
      return;
    }
    if ((is_alive(r) || may_keep_id(r)) && format::open_record(bytes.data(), seed_, sealer_.get())) take_message(r, bytes);
  }

  /// Whether the record's id, if it has one, is still in the stream's duplicate window.
  bool may_keep_id(const Record& r) const {
    if (r.type != RecordType::kMessage && r.type != RecordType::kSkip) return false;
    const auto since = job_.ids_since.find(r.stream);
    return since != job_.ids_since.end() && r.time >= since->second;
  }

  bool is_alive(const Record& r) const {
    if (r.type != RecordType::kMessage) return false;
    const auto alive = job_.alive.find(r.stream);
    return alive != job_.alive.end() && alive->second.contains(r.seq);
  }

  void take_message(const Record& r, std::span<const std::byte> bytes) {
    if (!is_alive(r)) {
      if (!r.msg_id.empty() && may_keep_id(r)) ids_.push_back({r.stream, r.seq, r.time, std::string(r.msg_id)});
      return;
    }
    items_[r.stream].push_back({r.seq, source_, held(bytes), bytes.size()});
    ++messages_;
  }

  /// Where the bytes will stand until all is written.
  const std::byte* held(std::span<const std::byte> bytes) {
    if (bytes.data() >= file_.memory.get() && bytes.data() < file_.memory.get() + file_bytes_) {
      living_bytes_ += bytes.size();
      return bytes.data();
    }
    if (arena_left_ < bytes.size()) {
      arena_left_ = std::max(kArenaPiece, bytes.size());
      arena_.push_back(std::make_unique_for_overwrite<std::byte[]>(arena_left_));
      arena_next_ = arena_.back().get();
    }
    std::byte* const to = arena_next_;
    std::memcpy(to, bytes.data(), bytes.size());
    arena_next_ += bytes.size();
    arena_left_ -= bytes.size();
    return to;
  }

  void take_removal(const Record& r) {
    SeqSet& removed = job_.removals[r.stream];
    if (r.payload.empty() || r.type == RecordType::kErase) {
      if (r.seq != 0) removed.insert(r.seq);
      return;
    }
    for (size_t at = 0; at + 16 <= r.payload.size(); at += 16) {
      const uint64_t first = load_le64(r.payload.data() + at);
      const uint64_t last = load_le64(r.payload.data() + at + 8);
      if (first != 0 && first <= last) removed.insert_range(first, last);
    }
  }

  Status read_segment(File& file, const CopyJob::Source& source) {
    auto scanned = scan_records(file, format::kBlock, source.size, source.seed,
                                [this](const Record& r, uint64_t, std::span<std::byte> bytes) { take(r, bytes); });
    if (!scanned) return std::unexpected(scanned.error());
    return {};
  }

  /// Batch by batch. Records of a good batch are believed; of a bad one those that are good by themselves. What was cut is
  /// believed in nothing: an id in it is that of a message which was never acknowledged.
  Status read_journal(File& file, const CopyJob::Source& source) {
    if (file_.bytes < source.size) {
      memory_->give_back(std::exchange(file_, {}));
      file_ = memory_->take(source.size);
    }
    auto got = file.read_at(0, {file_.memory.get(), source.size});
    if (!got) return std::unexpected(got.error());
    file_bytes_ = *got;
    living_bytes_ = 0;
    take_batches({file_.memory.get(), *got}, source);
    end_of_file();
    return {};
  }

  void take_batches(std::span<std::byte> bytes, const CopyJob::Source& source) {
    size_t at = format::kBlock;
    while (at + format::kRecordHeader <= bytes.size()) {
      const auto rest = bytes.subspan(at);
      const auto header = at % format::kBlock == 0 ? format::decode_batch_header(rest) : std::nullopt;
      if (header && header->generation == source.number && format::batch_body_matches(rest, *header)) {
        if (header->number < source.end_batch) take_all(rest.subspan(format::kBatchHeader, header->length - format::kBatchHeader));
        at += format::align_block(header->length);
        continue;
      }
      job_.damaged = true;
      const auto record = format::decode_record(rest, source.seed);
      const size_t size = record ? format::record_size(*record) : 8;
      const bool counts = record && (source.end_batch == UINT64_MAX || static_cast<int32_t>(record->batch - static_cast<uint32_t>(source.end_batch)) < 0);
      if (counts) take(*record, rest.first(size));
      at += size;
    }
  }

  /// The file's memory is kept for its living messages when they are most of it; else they move, and the next file is read into it.
  void end_of_file() {
    const std::byte* const begin = file_.memory.get();
    const std::byte* const end = begin + std::exchange(file_bytes_, 0);
    if (living_bytes_ * 2 >= file_.bytes) {
      files_.push_back(std::exchange(file_, {}));
      return;
    }
    for (auto& [stream, items] : items_) {
      for (auto item = items.rbegin(); item != items.rend() && item->source == source_; ++item) {
        if (item->at >= begin && item->at < end) item->at = held({item->at, item->size});
      }
    }
  }

  void take_all(std::span<std::byte> body) {
    for (size_t at = 0; at < body.size();) {
      const auto record = format::parse_record(body.subspan(at));
      if (!record) return;
      const size_t size = format::record_size(*record);
      take(*record, body.subspan(at, size));
      at += size;
    }
  }

  CopyJob& job_;
  std::unique_ptr<Sealer> sealer_;
  uint64_t source_ = 0;
  uint64_t seed_ = 0;
  std::unordered_map<uint32_t, std::vector<Item>> items_;  ///< by stream
  size_t messages_ = 0;

  // Where the bytes of the items stand.
  static constexpr size_t kArenaPiece = kMiB;
  std::shared_ptr<LargeMemoryStock> memory_;
  LargePiece file_;  ///< the journal file that is read, or was last
  size_t file_bytes_ = 0;  ///< of the one that is read; 0 between them
  size_t living_bytes_ = 0;
  std::vector<LargePiece> files_;
  std::vector<std::unique_ptr<std::byte[]>> arena_;
  std::byte* arena_next_ = nullptr;
  size_t arena_left_ = 0;
  std::vector<KeptId> ids_;
};

}  // namespace

Status run_copy(Disk& disk, CopyJob& job) {
  Gathering gathering(job);
  for (const CopyJob::Source& source : job.sources) {
    auto file = disk.open(source.path, OpenMode::kRead);
    if (!file) return std::unexpected(file.error());
    if (auto s = gathering.read(**file, source); !s) return s;
  }
  Status result = gathering.write(disk);
  if (!result && job.ids) {
    (void)disk.remove(job.ids->path);
    job.ids.reset();
  }
  return result;
}

}  // namespace sluice
