#include "store/copy_job.h"

#include <algorithm>
#include <utility>

#include "base/endian.h"
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

/// Gathers the living records of all sources, as bytes of one arena.
class Gathering {
 public:
  explicit Gathering(CopyJob& job) : job_(job), sealer_(job.keys == nullptr ? nullptr : std::make_unique<Sealer>(job.keys)) {}

  Status read(File& file, const CopyJob::Source& source) {
    source_ = source.number;
    seed_ = source.seed;
    return source.is_journal ? read_journal(file, source) : read_segment(file, source);
  }

  /// Writes the segment, if anything lives.
  Status write(Disk& disk) {
    if (auto s = write_kept_ids(disk); !s) return s;
    if (items_.empty()) return {};
    std::sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
      return std::tuple(a.stream, a.seq, b.source) < std::tuple(b.stream, b.seq, a.source);  // of copies the newest first
    });
    SegmentWriter writer(disk, job_.dir, job_.number, job_.store_id, sealer_.get());
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
    uint32_t stream;
    uint64_t seq;
    uint64_t source;
    size_t at;
    size_t size;
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
    const Item* before = nullptr;
    std::vector<Record> run;  // of a stream that is compressed
    size_t run_bytes = 0;
    const auto end_run = [&]() -> Status {
      if (run.empty()) return {};
      run_bytes = 0;
      return writer.add_packed(std::exchange(run, {}));
    };
    for (const Item& item : items_) {
      if (before != nullptr && before->stream == item.stream && before->seq == item.seq) continue;
      const bool other_stream = before == nullptr || before->stream != item.stream;
      before = &item;
      const auto record = format::parse_record(std::span<const std::byte>(arena_).subspan(item.at, item.size));
      if (other_stream || run_bytes + item.size > format::kPackedRun) {
        if (auto s = end_run(); !s) return s;
      }
      if (job_.compress.contains(item.stream)) {
        run.push_back(*record);
        run_bytes += item.size;
      } else if (auto s = writer.add(*record); !s) {
        return s;
      }
    }
    if (auto s = end_run(); !s) return s;
    return writer.finish();
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
    items_.push_back({r.stream, r.seq, source_, arena_.size(), bytes.size()});
    arena_.insert(arena_.end(), bytes.begin(), bytes.end());
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
    std::vector<std::byte> bytes(source.size);
    auto got = file.read_at(0, bytes);
    if (!got) return std::unexpected(got.error());
    bytes.resize(*got);
    size_t at = format::kBlock;
    while (at + format::kRecordHeader <= bytes.size()) {
      const auto rest = std::span<std::byte>(bytes).subspan(at);
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
    return {};
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
  std::vector<std::byte> arena_;
  std::vector<Item> items_;
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
