#include "store/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "base/endian.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/journal.h"
#include "store/segment.h"

namespace sluice {
namespace {

constexpr Logger kLog{"store"};
constexpr size_t kMaxNotes = 100;
constexpr uint64_t kSummariesKept_bytes = 64 * kMiB;
using format::RecordType;

/// "00000012.jnl" with suffix ".jnl" → 12.
std::optional<uint64_t> number_of(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() <= prefix.size() + suffix.size()) return {};
  name = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || number == 0 || number >= UINT32_MAX) return {};
  return number;
}

constexpr size_t kMostLostText = 2000;

Result<std::vector<std::byte>> read_whole(File& file) {
  auto size = file.size();
  if (!size) return std::unexpected(size.error());
  if (*size > 4 * kGiB) return fail(Errc::kUnsupported, "journal file above 4 GiB");
  std::vector<std::byte> bytes(*size);
  auto got = file.read_at(0, bytes);
  if (!got) return std::unexpected(got.error());
  bytes.resize(*got);
  return bytes;
}

}  // namespace

void Recovery::note(std::string text) {
  SLUICE_LOG(kLog, kWarn, "recovery {}", text);
  if (report_.notes.size() < kMaxNotes) report_.notes.push_back(std::move(text));
}

uint32_t Recovery::intern(std::string_view subject) {
  auto [it, fresh] = subject_numbers_.try_emplace(std::string(subject), static_cast<uint32_t>(subjects_.size()));
  if (fresh) subjects_.push_back(&it->first);
  return it->second;
}

Status Recovery::run() {
  if (auto s = list_files(); !s) return s;
  if (auto s = find_store_id(); !s) return s;
  if (store_id == 0) return {};
  if (auto s = open_segments(); !s) return s;
  for (JournalFile& journal : journals_) {
    if (auto s = survey(journal); !s) return s;
  }
  decide();
  if (auto s = collect_intents(); !s) return s;
  for (JournalFile& journal : journals_) {
    if (auto s = replay(journal); !s) return s;
    // What a killed process wrote may be in the kernel only; from here on it counts.
    if (auto s = journal.file->file->sync(); !s) return s;
  }
  settle();
  if (auto s = find_erasure_copies(); !s) return s;
  return remove_leftovers();
}

/// What a crash left half made, or half wiped. A segment in the making may hold what was erased meanwhile.
Status Recovery::remove_leftovers() {
  for (const std::string& path : leftovers_) {
    const bool wipe = path.ends_with(".wipe") || !erasures.empty();
    if (auto s = wipe ? wipe_file(disk_, path) : disk_.remove(path); !s && s.error().code != Errc::kNoSpace) return s;
  }
  return {};
}

Status Recovery::list_files() {
  for (const char* kind : {"journal", "segments"}) {
    const std::string folder = dir_ + "/" + kind;
    const bool is_journal = kind[0] == 'j';
    // A name that a killed process gave may be in the kernel only. From here on it counts: the journal file that a segment
    // was copied from may leave soon.
    if (auto s = disk_.sync_dir(folder); !s) return s;
    auto names = disk_.list(folder);
    if (!names) return std::unexpected(names.error());
    for (const std::string& name : *names) {
      const std::string path = folder + "/" + name;
      auto number = number_of(name, "", is_journal ? ".jnl" : ".seg");
      if (number) {
        StoreFile& file = files_.add(*number, is_journal, path);
        auto opened = disk_.open(path, OpenMode::kReadWrite);
        if (!opened) return std::unexpected(opened.error());
        file.file = std::move(*opened);
        auto size = file.file->size();
        if (!size) return std::unexpected(size.error());
        file.size = *size;
        if (is_journal) journals_.emplace_back().file = &file;
      } else if ((number = number_of(name, "spare-", ".jnl"))) {
        spares.push_back(path);
      } else if ((number = number_of(name, "", ".ids"))) {
        id_files.emplace_back(*number, path);
      } else if (name.ends_with(".tmp") || name.ends_with(".new") || name.ends_with(".wipe")) {
        leftovers_.push_back(path);
        for (const char* ending : {".tmp", ".jnl.wipe", ".seg.wipe"}) {
          if (!number) number = number_of(name, "", ending);
        }
      }
      if (number) next_file = std::max(next_file, *number + 1);
    }
  }
  std::sort(journals_.begin(), journals_.end(),
            [](const auto& a, const auto& b) { return a.file->number < b.file->number; });
  return {};
}

Status Recovery::check_version(uint32_t version, const std::string& path) const {
  if (version <= format::kSealedVersion) return {};
  return fail(Errc::kUnsupported, fmt::format("{} is of format {}, newer than {} which this version reads", path,
                                              version, format::kSealedVersion));
}

/// Before anything is believed or changed: with a wrong key all would look damaged.
Status Recovery::check_key(const format::FileHeader& header, const std::string& path) const {
  if (!format::is_sealed_version(header.version)) return {};
  if (sealer_ == nullptr) {
    return fail(Errc::kDenied, fmt::format("{} is encrypted with key {:016x}, and no key is given", path, header.key_id));
  }
  if (sealer_->keys().knows(header.key_id)) return {};
  return fail(Errc::kDenied, fmt::format("{} is encrypted with key {:016x}; given is {:016x}{}", path, header.key_id,
                                         sealer_->keys().keys.front().id,
                                         sealer_->keys().keys.size() > 1 ? ", and the previous key is another one too" : ""));
}

/// The id stands in every file header and every batch header; any intact one will do.
Status Recovery::find_store_id() {
  for (const auto& [number, file] : files_.all()) {
    std::vector<std::byte> head(format::kBlock + format::kBatchHeader);
    auto got = file->file->read_at(0, head);
    if (!got) return std::unexpected(got.error());
    head.resize(*got);
    const auto magic = file->is_journal ? format::kJournalMagic : format::kSegmentMagic;
    if (auto header = format::decode_file_header(head, magic)) {
      if (auto s = check_version(header->version, file->path); !s) return s;
      if (auto s = check_key(*header, file->path); !s) return s;
      if (store_id == 0) store_id = header->store_id;
    }
    if (store_id != 0 || !file->is_journal || head.size() <= format::kBlock) continue;
    if (auto batch = format::decode_batch_header(std::span(head).subspan(format::kBlock))) store_id = batch->store_id;
  }
  if (store_id == 0 && !files_.all().empty()) {
    bool any_data = false;
    for (const auto& [number, file] : files_.all()) any_data |= !file->is_journal;
    if (any_data) return fail(Errc::kCorrupt, "no file of the store has an intact header");
    // Journal files without any intact header or first batch: nothing was ever durable in them.
    for (const auto& journal : journals_) spares.push_back(journal.file->path);
    note(fmt::format("{} journal files without a header are taken as empty", journals_.size()));
    for (const auto& journal : journals_) files_.erase(journal.file->number);
    journals_.clear();
  }
  return {};
}

Status Recovery::open_segments() {
  for (const auto& [number, owned] : files_.all()) {
    StoreFile& file = *owned;
    if (file.is_journal) continue;
    file.seed = format::file_seed(store_id, number);
    auto opened = open_segment(*file.file, number, store_id, sealer_);
    file.file.reset();
    if (!opened) {
      if (opened.error().code != Errc::kCorrupt) return std::unexpected(opened.error());
      note(fmt::format("segment {} unreadable: {}", file.path, opened.error().detail));
      continue;
    }
    file.version = opened->version;
    file.shape = opened->shape;
    file.take_parts(opened->summary);
    if (opened->repaired != 0) note(fmt::format("segment {} had {} pages rebuilt from parity", file.path, opened->repaired));
    if (opened->scanned && opened->version != 1) {
      note(fmt::format("segment {} had no good trailer or summary and was scanned, {} messages found", file.path, file.messages));
    }
    for (const SegmentPart& part : file.parts) {
      RecoveredStreamState& stream = streams[part.stream];
      stream.last = std::max(stream.last, part.last);
      stream.in_segments += part.entries;
      stream.segments_last = std::max(stream.segments_last, part.last);
      next_stream = std::max<uint64_t>(next_stream, uint64_t{part.stream} + 1);
    }
    report_.records += file.messages;
    if (opened->scanned || summary_bytes_ + opened->summary.size() <= kSummariesKept_bytes) {
      summary_bytes_ += opened->summary.size();
      summaries_[number] = std::move(opened->summary);
    }
  }
  return {};
}

Result<std::vector<std::byte>> Recovery::take_summary(StoreFile& file) {
  if (const auto kept = summaries_.find(file.number); kept != summaries_.end()) {
    std::vector<std::byte> summary = std::move(kept->second);
    summaries_.erase(kept);
    return summary;
  }
  auto opened = disk_.open(file.path, OpenMode::kRead);
  if (!opened) return std::unexpected(opened.error());
  return read_summary(**opened, *file.shape->trailer, file.seed, sealer_);
}

/// Finds the batches of a file, without believing any yet.
Status Recovery::survey(JournalFile& journal) {
  StoreFile& file = *journal.file;
  file.seed = format::file_seed(store_id, file.number);
  auto bytes = read_whole(*file.file);
  if (!bytes) return std::unexpected(bytes.error());
  if (auto header = format::decode_file_header(*bytes, format::kJournalMagic);
      header && header->number == file.number && header->store_id == store_id) {
    if (auto s = check_version(header->version, file.path); !s) return s;
    journal.first_batch = header->first_batch;
    journal.proved = header->proved;
  }
  uint64_t at = format::kBlock;
  while (at + format::kBatchHeader <= bytes->size()) {
    const auto rest = std::span<const std::byte>(*bytes).subspan(at);
    auto header = format::decode_batch_header(rest);
    if (!header || header->store_id != store_id || header->generation != file.number ||
        header->length < format::kBatchHeader || header->length > rest.size()) {
      at += format::kBlock;
      continue;
    }
    if (auto s = check_version(header->version, file.path); !s) return s;
    const bool good = format::batch_body_matches(rest, *header);
    if (journal.first_batch == 0) journal.first_batch = header->file_first_batch;
    journal.proved = std::max(journal.proved, header->durable);
    journal.batches.push_back({at, *header, good});
    next_stream = std::max(next_stream, header->next_stream);
    next_consumer = std::max(next_consumer, header->next_consumer);
    next_file = std::max(next_file, header->next_file);
    commit = std::max(commit, header->last_commit);
    at += format::align_block(header->length);
  }
  return {};
}

/// Which batches count: see "What recovery believes".
void Recovery::decide() {
  uint64_t end = UINT64_MAX;
  for (auto it = journals_.rbegin(); it != journals_.rend(); ++it) {
    it->end_batch = end;
    if (it->first_batch != 0) end = std::min(end, it->first_batch);
  }
  std::set<uint64_t> good;
  for (const JournalFile& journal : journals_) {
    proved_ = std::max(proved_, journal.proved);
    for (const BatchAt& batch : journal.batches) {
      if (batch.good && batch.header.number < journal.end_batch) good.insert(batch.header.number);
    }
  }
  accepted_ = proved_;
  for (auto it = good.upper_bound(proved_); it != good.end() && *it == accepted_ + 1; ++it) ++accepted_;
  next_batch = accepted_ + 1;
  for (JournalFile& journal : journals_) {
    journal.file->used = journal.file->size;
    journal.file->end_batch = std::min(journal.end_batch, next_batch);
    if (journal.batches.empty()) continue;
    const BatchAt& last = journal.batches.back();
    if (last.header.number + 1 != std::min(journal.end_batch, next_batch)) continue;  // something may lie behind it
    journal.file->used = std::min(journal.file->size, last.offset + format::align_block(last.header.length));
  }
  find_tails();
}

/// Where in each file the last batch that counts ends, when that is certain. What lies behind it only tells sequences that were given out.
void Recovery::find_tails() {
  uint64_t before = journals_.empty() || journals_.front().first_batch == 0 ? 0 : journals_.front().first_batch - 1;
  for (JournalFile& journal : journals_) {
    StoreFile& file = *journal.file;
    const uint64_t end = std::min(journal.end_batch, next_batch);
    file.tail = end <= before + 1 ? std::min<uint64_t>(format::kBlock, file.size) : file.size;
    for (const BatchAt& batch : journal.batches) {
      if (batch.header.number + 1 != end) continue;
      file.tail = std::min(file.size, batch.offset + format::align_block(batch.header.length));
    }
    file.leftovers = Leftovers::unknown();
    before = std::max(before, end - 1);
  }
}

/// An erase that a crash interrupted leaves a damaged batch behind which is no loss: its intent stands in a later batch.
Status Recovery::collect_intents() {
  const bool damaged = std::any_of(journals_.begin(), journals_.end(), [](const JournalFile& journal) {
    return std::any_of(journal.batches.begin(), journal.batches.end(), [](const BatchAt& b) { return !b.good; });
  });
  if (!damaged) return {};
  for (JournalFile& journal : journals_) {
    auto read = read_whole(*journal.file->file);
    if (!read) return std::unexpected(read.error());
    const std::span<const std::byte> bytes(*read);
    for (const BatchAt& batch : journal.batches) {
      if (!batch.good || batch.header.number >= std::min(journal.end_batch, accepted_ + 1)) continue;
      const auto body = bytes.subspan(batch.offset, batch.header.length);
      for (size_t at = format::kBatchHeader; at < body.size();) {
        const auto record = format::parse_record(body.subspan(at));
        if (!record) break;
        if (const auto erasure = Erasure::decode(*record)) torn_erasures_[erasure->file][erasure->offset] = *erasure;
        at += format::record_size(*record);
      }
    }
  }
  return {};
}

/// A message that was copied and then erased may still stand in the journal file that it was copied from.
Status Recovery::find_erasure_copies() {
  std::map<std::pair<uint32_t, uint64_t>, Erasure> wanted;
  for (const Erasure& e : erasures) wanted.try_emplace({e.stream, e.seq}, e);
  if (wanted.empty()) return {};
  for (JournalFile& journal : journals_) {
    StoreFile& file = *journal.file;
    const auto look = [&](const format::Record& r, uint64_t offset, std::span<std::byte> bytes) {
      const auto found = r.type == RecordType::kMessage ? wanted.find({r.stream, r.seq}) : wanted.end();
      if (found == wanted.end() || (found->second.file == file.number && found->second.offset == offset)) return;
      Erasure copy = found->second;
      copy.file = file.number;
      copy.offset = offset;
      copy.size = bytes.size();
      copy.batch = r.batch;
      erasures.push_back(copy);
    };
    // Record by record: the checksum of a batch in which something was erased does not fit any more.
    if (auto scanned = scan_records(*file.file, format::kBlock, file.size, file.seed, look); !scanned) return std::unexpected(scanned.error());
  }
  return {};
}

Status Recovery::replay(JournalFile& journal) {
  auto read = read_whole(*journal.file->file);
  if (!read) return std::unexpected(read.error());
  const std::span<std::byte> bytes(*read);
  const uint64_t end = std::min(journal.end_batch, accepted_ + 1);
  uint64_t at = std::min<uint64_t>(format::kBlock, bytes.size());
  uint64_t before = journal.first_batch == 0 ? 0 : journal.first_batch - 1;  // last number walked past
  const auto gap = [&](uint64_t until, uint64_t next_number) {
    const uint64_t high = std::min(next_number, end);
    Salvaged got;
    if (until > at) got = salvage(journal, bytes.subspan(at, until - at), at, before + 1, high);
    if (before + 1 >= high || journal.first_batch == 0) return;
    const uint64_t expected = std::max(got.expected, got.found + (got.expected == 0 ? high - before - 1 : 0));
    report_.lost_records += expected - got.found;
    note(fmt::format("journal {} lacks batches {} to {}, {} records found one by one", journal.file->path, before + 1,
                     high - 1, got.found));
  };
  for (const BatchAt& batch : journal.batches) {
    const uint64_t number = batch.header.number;
    if (number > before + 1) gap(batch.offset, number);
    const auto body = bytes.subspan(batch.offset + format::kBatchHeader, batch.header.length - format::kBatchHeader);
    const uint64_t body_at = batch.offset + format::kBatchHeader;
    const bool counts = number < end;
    journal.file->cut |= !counts;
    if (!counts && number >= next_batch && journal.end_batch > number) report_.cut_bytes += batch.header.length;
    if (batch.good) {
      report_.journal_batches += counts ? 1 : 0;
      replay_good(journal, body, body_at, counts ? Belief::kAll : Belief::kHighWaterOnly);
    } else if (counts) {
      const uint64_t found = salvage(journal, body, body_at, number, number + 1).found;
      const uint64_t lost = batch.header.count - std::min<uint64_t>(found, batch.header.count);
      report_.lost_records += lost;
      if (lost != 0) note(fmt::format("journal {} batch {} is damaged, {} records lost", journal.file->path, number, lost));
    } else {
      salvage(journal, body, body_at, 0, 0);
      note(fmt::format("cut torn batch {} of {} at {}, {} bytes", number, journal.file->path, batch.offset,
                       batch.header.length));
    }
    before = std::max(before, number);
    at = batch.offset + format::align_block(batch.header.length);
    at = std::min<uint64_t>(at, bytes.size());
  }
  gap(bytes.size(), end);
  return {};
}

void Recovery::replay_good(JournalFile& journal, std::span<std::byte> body, uint64_t offset, Belief belief) {
  size_t at = 0;
  while (at < body.size()) {
    // The batch's own checksum covered these bytes already.
    const size_t size = format::peek_record_size(body.subspan(at));
    const auto record = format::parse_record(body.subspan(at));
    if (!record) {
      note(fmt::format("journal {} has an unreadable record at {}", journal.file->path, offset + at));
      return;
    }
    if (belief == Belief::kAll || record->type == RecordType::kHighWater) {
      if (format::open_record(body.data() + at, journal.file->seed, sealer_)) {
        apply(*journal.file, *record, offset + at);
      } else {
        lose_sealed(journal, *record, offset + at);
      }
    }
    at += size;
  }
}

/// Looks for intact records in damaged bytes. Those of batches in [low, high) count; of others only the
/// high-water records. @return how many counted, and how many the high-water
/// records speak of.
Recovery::Salvaged Recovery::salvage(JournalFile& journal, std::span<std::byte> bytes, uint64_t offset, uint64_t low,
                                     uint64_t high) {
  Salvaged result;
  const auto& erasures_here = torn_erasures_[journal.file->number];
  for (size_t at = 0; at + format::kRecordHeader <= bytes.size();) {
    const size_t size = format::peek_record_size(bytes.subspan(at));
    std::optional<format::Record> record;
    if (size != 0 && size <= bytes.size() - at) record = format::decode_record(bytes.subspan(at), journal.file->seed);
    if (!record) {
      if (const auto torn = erasures_here.find(offset + at);
          torn != erasures_here.end() && low < high && torn->second.batch - static_cast<uint32_t>(low) < high - low) {
        ++result.found;  // half erased: opening goes on with it
      }
      if (low < high) ++damage_;
      at += 8;
      continue;
    }
    journal.file->cut = true;
    const bool counts = low < high && record->batch - static_cast<uint32_t>(low) < high - low;
    if (record->type == RecordType::kHighWater) {
      if (counts) result.expected += static_cast<uint64_t>(std::clamp<WallNanos>(record->time, 0, INT32_MAX));
      apply(*journal.file, *record, offset + at);
    } else if (counts) {
      ++result.found;
      if (format::open_record(bytes.data() + at, journal.file->seed, sealer_)) {
        apply(*journal.file, *record, offset + at);
      } else {
        lose_sealed(journal, *record, offset + at);
      }
    } else if (record->type == RecordType::kMessage || record->type == RecordType::kSkip) {
      // The batch is cut, and its high-water record may be what was damaged: the sequence was given out all the same.
      mark_given_out(*journal.file, record->stream, record->seq);
    }
    at += size;
  }
  return result;
}

/// Its checksum is right, but it is not what was written with any of our keys.
void Recovery::lose_sealed(const JournalFile& journal, const format::Record& record, uint64_t offset) {
  ++report_.lost_records;
  ++damage_;
  note(fmt::format("journal {} has a record at {} that no key opens", journal.file->path, offset));
  if (record.type == RecordType::kMessage || record.type == RecordType::kSkip) {
    mark_given_out(*journal.file, record.stream, record.seq);
  }
}

/// A record of the sequences first…last. A stream's sequences stand in the journal without a gap, each by a message or a skip, so what
/// the next message passes over at damage was lost there. (What crashes cut is passed over too, elsewhere.)
void Recovery::pass(RecoveredStreamState& stream, uint64_t first, uint64_t last) {
  if (stream.seen && stream.damage != damage_ && first > stream.passed + 1) stream.lost.insert_range(stream.passed + 1, first - 1);
  stream.seen = true;
  stream.passed = std::max(stream.passed, last);
  stream.damage = damage_;
}

void Recovery::drop_below(RecoveredStreamState& stream, uint64_t first_kept) {
  stream.passed = std::max(stream.passed, first_kept - 1);
  for (uint64_t s = stream.index.next(0); s != 0 && s < first_kept; s = stream.index.next(s + 1)) stream.index.erase(s);
  stream.floor = std::max(stream.floor, first_kept);
  stream.last = std::max(stream.last, first_kept - 1);
}

void Recovery::apply(StoreFile& file, const format::Record& r, uint64_t offset) {
  ++report_.records;
  switch (r.type) {
    case RecordType::kMessage:
      return apply_message(file, r, offset);
    case RecordType::kSkip: {
      RecoveredStreamState& stream = streams[r.stream];
      pass(stream, stream.passed + 1, r.seq);  // it may stand for many: a mirror's gap
      stream.last = std::max(stream.last, r.seq);
      stream.last_time = std::max(stream.last_time, r.time);
      stream.last_file = file.number;
      note_id(file, stream, r, offset);
      StreamSpan& span = file.streams[r.stream];
      span.widen(r.seq);
      span.states_facts = true;
      return;
    }
    case RecordType::kRemove:
      file.streams[r.stream].states_facts = true;
      return apply_remove(streams[r.stream], r);
    case RecordType::kErase: {
      file.streams[r.stream].states_facts = true;
      if (auto erasure = Erasure::decode(r)) {
        erasure->intent_file = file.number;
        erasures.push_back(*erasure);
      }
      format::Record removal = r;
      removal.payload = {};
      return apply_remove(streams[r.stream], removal);
    }
    case RecordType::kPurgeBelow: {
      if (r.seq == 0) return;
      file.streams[r.stream].states_facts = true;
      return drop_below(streams[r.stream], r.seq);
    }
    case RecordType::kStreamMeta:
      return apply_meta(file, streams[r.stream], r);
    case RecordType::kStreamDelete: {
      file.deleted_streams.insert(r.stream);
      RecoveredStreamState& stream = streams[r.stream];
      stream.deleted = true;
      stream.index.clear();
      next_stream = std::max<uint64_t>(next_stream, uint64_t{r.stream} + 1);
      std::erase_if(consumers, [&](const auto& entry) { return entry.second.stream == r.stream; });
      return;
    }
    case RecordType::kConsumerMeta:
    case RecordType::kConsumerDelete:
    case RecordType::kConsumerDelta:
    case RecordType::kConsumerSnapshot:
      return apply_consumer(file, r);
    case RecordType::kHighWater:
      return apply_high_water(file, r);
    case RecordType::kNothing:
    case RecordType::kErased:
    case RecordType::kPacked:
    case RecordType::kRun:
      return;
  }
}

void Recovery::note_id(StoreFile& file, RecoveredStreamState& stream, const format::Record& r, uint64_t offset) {
  if (r.msg_id.empty()) return;
  stream.ids.push_back({r.seq, file.number, offset});
  file.ids_until = std::max(file.ids_until, r.time);
}

void Recovery::apply_message(StoreFile& file, const format::Record& r, uint64_t offset) {
  RecoveredStreamState& stream = streams[r.stream];
  pass(stream, r.seq, r.seq);
  file.streams[r.stream].widen(r.seq);
  ++file.messages;
  file.message_bytes += format::accounted_bytes(r);
  stream.last_time = std::max(stream.last_time, r.time);
  stream.last_file = file.number;
  note_id(file, stream, r, offset);
  if (!stream.deleted && r.seq >= stream.floor && r.seq != 0) {
    stream.index.put(r.seq, MessagePlace::on_file(file.number, offset, format::accounted_bytes(r), false, intern(r.subject)));
  }
  stream.last = std::max(stream.last, r.seq);
}

void Recovery::apply_remove(RecoveredStreamState& stream, const format::Record& r) {
  if (r.payload.empty()) {
    if (!stream.index.erase(r.seq) && r.seq > stream.segments_last) stream.removed_unseen.insert(r.seq);
    if (r.seq != 0 && r.seq <= stream.segments_last) stream.removed.insert(r.seq);
    return;
  }
  for (size_t at = 0; at + 16 <= r.payload.size(); at += 16) {
    const uint64_t first = load_le64(r.payload.data() + at);
    const uint64_t last = load_le64(r.payload.data() + at + 8);
    if (first == 0 || first > last) continue;
    uint64_t unseen = std::max(first, stream.segments_last + 1);
    for (uint64_t s = stream.index.next(first); s != 0 && s <= last; s = stream.index.next(s + 1)) {
      stream.index.erase(s);
      if (unseen < s) stream.removed_unseen.insert_range(unseen, s - 1);
      unseen = std::max(unseen, s + 1);
    }
    if (unseen <= last) stream.removed_unseen.insert_range(unseen, last);
    if (first <= stream.segments_last) stream.removed.insert_range(first, std::min(last, stream.segments_last));
  }
}

void Recovery::apply_meta(StoreFile& file, RecoveredStreamState& stream, const format::Record& r) {
  next_stream = std::max<uint64_t>(next_stream, uint64_t{r.stream} + 1);
  if (stream.deleted || r.payload.size() < 8) return;
  stream.name = r.subject;
  stream.meta = r.payload.substr(8);
  stream.meta_file = file.number;
  stream.last_file = std::max(stream.last_file, file.number);
  file.streams[r.stream];
  const uint64_t first = load_le64(r.payload.data());
  if (first > stream.floor) drop_below(stream, first);
  pass(stream, r.seq + 1, r.seq);
  stream.last = std::max(stream.last, r.seq);
  stream.last_time = std::max(stream.last_time, r.time);
}

void Recovery::apply_consumer(StoreFile& file, const format::Record& r) {
  const uint64_t key = r.seq;
  next_consumer = std::max(next_consumer, key + 1);
  file.consumers.insert(key);
  if (r.type == RecordType::kConsumerDelete) {
    consumers.erase(key);
    dead_consumers_.insert(key);
    return;
  }
  if (dead_consumers_.contains(key)) return;
  RecoveredConsumerState& consumer = consumers[key];
  if (r.type == RecordType::kConsumerMeta) {
    consumer.stream = r.stream;
    consumer.name = r.subject;
    consumer.meta = r.payload;
    consumer.meta_file = file.number;
  } else if (r.type == RecordType::kConsumerSnapshot) {
    consumer.snapshot = r.payload;
    consumer.deltas.clear();
  } else {
    consumer.deltas.emplace_back(r.payload);
  }
}

void Recovery::apply_high_water(StoreFile& file, const format::Record& r) {
  for (size_t at = 0; at + 16 <= r.payload.size(); at += 16) {
    const uint64_t stream = load_le64(r.payload.data() + at);
    if (stream < UINT32_MAX) mark_given_out(file, stream, load_le64(r.payload.data() + at + 8));
  }
}

void Recovery::mark_given_out(const StoreFile& file, uint64_t stream, uint64_t last) {
  next_stream = std::max(next_stream, stream + 1);  // an id of a cut batch is not given to another stream
  Mark& mark = marks_[stream];
  if (last >= mark.last) mark = {last, file.number};
}

/// Which of those passed over were to be there. What segments may hold is looked for by who reads it.
void Recovery::settle_lost(RecoveredStreamState& stream) {
  SeqSet lost;
  for (const auto& [first, last] : stream.lost.ranges()) {
    // Range by range: a mirror's gap may be of any width.
    for (uint64_t s = std::max({first, stream.floor, stream.segments_last + 1}); s <= last;) {
      s = stream.removed_unseen.next_absent(s);
      const uint64_t stored = stream.index.next(s);
      const auto removed = stream.removed_unseen.ranges().lower_bound(s);
      uint64_t end = last;
      if (stored != 0) end = std::min(end, stored - 1);
      if (removed != stream.removed_unseen.ranges().end()) end = std::min(end, removed->first - 1);
      if (s <= end) lost.insert_range(s, end);
      s = std::max(s, end) + 1;
    }
  }
  stream.lost = std::move(lost);
  stream.removed_unseen.clear();
  if (stream.lost.empty()) return;
  std::string text;
  size_t left_out = stream.lost.ranges().size();
  for (const auto& [first, last] : stream.lost.ranges()) {
    if (text.size() > kMostLostText) break;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", first);
    if (last != first) text += fmt::format("-{}", last);
    --left_out;
  }
  if (left_out != 0) text += fmt::format(", and {} more ranges", left_out);
  note(fmt::format("stream {} lost {} messages to damage: {}", stream.name, stream.lost.size(), text));
}

/// The ends of every stream, once all is read.
void Recovery::settle() {
  for (const auto& [id, mark] : marks_) {
    const auto it = streams.find(static_cast<uint32_t>(id));
    if (it == streams.end() || it->second.deleted) continue;
    if (mark.last > it->second.last) {
      note(fmt::format("stream {} sequences {} to {} were cut or lost", it->second.name, it->second.last + 1, mark.last));
      report_.cut_sequences += mark.last - it->second.last;
      it->second.last = mark.last;
    }
    it->second.last_file = std::max(it->second.last_file, mark.file);
    if (StoreFile* file = files_.find(mark.file)) file->streams[it->first];
  }
  std::erase_if(consumers, [&](const auto& entry) {
    const auto stream = streams.find(entry.second.stream);
    const bool orphan = entry.second.name.empty() || stream == streams.end() || stream->second.deleted;
    if (orphan && entry.second.name.empty()) note(fmt::format("consumer {} has no meta and is dropped", entry.first));
    return orphan;
  });
  for (auto& [id, stream] : streams) {
    const uint64_t messages = stream.index.size() + stream.in_segments;
    if (stream.name.empty() && !stream.deleted && messages != 0) {
      note(fmt::format("stream {} has {} messages but no meta; they are kept on disk, not served", id, messages));
      report_.lost_records += messages;
    }
  }
  for (auto& [id, stream] : streams) {
    if (!stream.deleted && !stream.name.empty()) settle_lost(stream);
  }
  if (report_.cut_bytes != 0) note(fmt::format("cut {} bytes of batches from {} on", report_.cut_bytes, next_batch));
}

}  // namespace sluice
