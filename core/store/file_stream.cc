#include "store/file_stream.h"

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"
#include "store/file_store.h"

namespace sluice {

using format::Record;
using format::RecordType;

namespace {
constexpr size_t kRangesPerRecord = 4096;
}  // namespace

FileStream::FileStream(FileStore& store, uint32_t id, std::string name, std::string meta)
    : store_(store), id_(id), name_(std::move(name)), meta_(std::move(meta)) {
  index_.use_cold(*this, store.cold_cache());
  sync_ = store.sync_mode();
}

void FileStream::set_traits(const StreamTraits& traits) {
  sync_ = traits.sync.value_or(store_.sync_mode());
  compress_ = traits.compress;
  id_window_ = traits.id_window;
  if (sync_ == SyncMode::kInterval) store_.need_interval_sync();
}

void FileStream::start_at(StreamSeq first_seq) {
  if (first_seq.is_zero()) return;
  first_ = first_seq.value();
  last_ = first_ - 1;
}

StreamSpan& FileStream::span(StoreFile& file) {
  if (span_file_ != file.number) {
    span_file_ = file.number;
    span_ = &file.streams[id_];
  }
  return *span_;
}

Journal::Written FileStream::write(Record& record, uint64_t last_seq) {
  record.stream = id_;
  const Journal::Written written = store_.journal().append(record, &mark_, last_seq, sync_ == SyncMode::kAlways);
  last_commit_ = store_.journal().commit();
  last_file_ = written.file->number;
  return written;
}

void FileStream::prefetch_append() const {
  prefetch_note_append();
  __builtin_prefetch(&id_, 1);
  __builtin_prefetch(&newest_id_, 1);
}

StreamSeq FileStream::append(const AppendRequest& request) {
  if (store_.failed()) return StreamSeq(0);
  const uint64_t seq = last_ + 1;
  // Wanted when the record stands in the journal, which takes longer than to fetch them.
  prefetch_place_and_subject(seq);
  if (span_ != nullptr) __builtin_prefetch(span_, 1);
  Record r;
  r.type = RecordType::kMessage;
  r.seq = seq;
  r.time = request.time;
  r.subject = request.subject;
  r.headers = request.headers;
  r.payload = request.payload;
  r.msg_id = request.msg_id;
  const Journal::Written written = write(r, seq);
  StoreFile& file = *written.file;
  const MessagePlace place =
      MessagePlace::on_file(file.number, written.offset, format::accounted_bytes(r), false, format::subject_hash(r.subject));
  ++file.messages;
  ++file.live_messages;
  file.message_bytes += place.accounted_bytes;
  file.live_bytes += place.accounted_bytes;
  span(file).widen(seq);
  note_id(file, r);
  note_append(seq, place, r.subject, r.time);
  return StreamSeq(seq);
}

StreamSeq FileStream::append_all(std::span<const AppendRequest> requests) {
  if (store_.failed()) return StreamSeq(0);
  size_t bytes = 0;
  for (const AppendRequest& a : requests) {
    Record r;
    r.type = RecordType::kMessage;
    r.subject = a.subject;
    r.headers = a.headers;
    r.payload = a.payload;
    r.msg_id = a.msg_id;
    bytes += store_.journal().size_of(r);
  }
  store_.journal().keep_together(bytes);
  const StreamSeq first(last_ + 1);
  for (const AppendRequest& a : requests) {
    if (a.skipped)
      skip(a.time, a.msg_id);
    else
      append(a);
  }
  store_.journal().end_together();
  return first;
}

StreamSeq FileStream::skip(WallNanos time, std::string_view msg_id) {
  if (store_.failed()) return StreamSeq(0);
  const uint64_t seq = last_ + 1;
  Record r;
  r.type = RecordType::kSkip;
  r.seq = seq;
  r.time = time;
  r.msg_id = msg_id;
  StoreFile& file = *write(r, seq).file;
  StreamSpan& here = span(file);
  here.widen(seq);
  here.states_facts = true;
  note_id(file, r);
  note_skip(seq, time);
  return StreamSeq(seq);
}

void FileStream::note_id(StoreFile& file, const Record& record) {
  if (record.msg_id.empty()) return;
  file.ids_until = std::max(file.ids_until, record.time);
  newest_id_ = std::max(newest_id_, record.time);
}

/// One record: recovery counts every sequence below the highest that has no message as a gap.
void FileStream::skip_to(StreamSeq last, WallNanos time) {
  if (store_.failed()) return;
  SLUICE_CHECK(last.value() > last_);
  Record r;
  r.type = RecordType::kSkip;
  r.seq = last.value();
  r.time = time;
  StreamSpan& here = span(*write(r, r.seq).file);
  here.widen(last_ + 1);
  here.widen(r.seq);
  here.states_facts = true;
  note_skip_to(r.seq, time);
}

bool FileStream::remove(StreamSeq seq, bool erase) {
  if (store_.failed()) return false;
  const MessagePlace* found = index_.find(seq.value());
  if (found == nullptr) return false;
  const MessagePlace place = *found;
  const uint64_t offset = uint64_t{place.offset8} * 8;
  Erasure erasure;
  std::string intent;
  if (erase) {
    const uint64_t refused = refused_reads();
    const auto stored = store_.read_message(place.file, offset, seq.value());
    if (!stored && refused_reads() != refused) return false;  // it would be gone, and its bytes would stay
    if (stored) {
      erasure = {id_, seq.value(), place.file, offset, format::record_size(stored->record), stored->record.batch, 0};
      intent = erasure.encode();
    }
  }
  if (!note_remove(seq.value())) return false;
  if (intent.empty()) {
    write_removal(seq.value(), {store_.files().find(place.file), offset});
    return true;
  }
  Record r;
  r.type = RecordType::kErase;
  r.seq = seq.value();
  r.payload = intent;
  StoreFile& file = *write(r, last_).file;
  span(file).states_facts = true;
  erasure.intent_file = file.number;
  store_.begin_erasure(erasure);
  return true;
}

void FileStream::write_removal(uint64_t seq, Journal::Written message) {
  Journal& journal = store_.journal();
  if (journal.join_removal(removal_, seq, message, sync_ == SyncMode::kAlways)) {
    last_commit_ = journal.commit();
    return;
  }
  const std::string range = format::encode_range({seq, seq});
  Record r;
  r.type = RecordType::kRemove;
  r.payload = range;
  const Journal::Written written = write(r, last_);
  span(*written.file).states_facts = true;
  removal_ = {journal.batch(), written.offset};
}

uint64_t FileStream::purge_below(StreamSeq first_kept) {
  if (store_.failed() || first_kept.value() <= first_) return 0;
  const uint64_t removed = note_purge_below(first_kept.value());
  Record r;
  r.type = RecordType::kPurgeBelow;
  r.seq = first_kept.value();
  span(*write(r, last_).file).states_facts = true;
  return removed;
}

void FileStream::set_meta(std::string_view meta) {
  meta_ = meta;
  state_meta();
}

void FileStream::state_meta() {
  std::string payload(8, '\0');
  store_le64(payload.data(), first_);
  payload += meta_;
  Record r;
  r.type = RecordType::kStreamMeta;
  r.seq = last_;
  r.time = last_time_;
  r.subject = name_;
  r.payload = payload;
  for (int copy = 0; copy < 2; ++copy) {
    StoreFile& file = *write(r, last_).file;
    span(file);
    meta_file_ = file.number;
  }
}

namespace {
/// `a` and `b` in common; `b` rising and apart.
std::vector<format::SeqRange> common(const SeqSet& a, const std::vector<format::SeqRange>& b) {
  std::vector<format::SeqRange> both;
  auto it = a.ranges().begin();
  for (const format::SeqRange& range : b) {
    while (it != a.ranges().end() && it->second < range.first) ++it;
    for (auto at = it; at != a.ranges().end() && at->first <= range.last; ++at) {
      both.push_back({std::max(at->first, range.first), std::min(at->second, range.last)});
    }
  }
  return both;
}

/// The numbers that `spans` cover, rising and apart.
std::vector<format::SeqRange> covered(const std::vector<StreamSpan>& spans) {
  SeqSet set;
  for (const StreamSpan& s : spans) set.insert_range(s.first, s.last);
  std::vector<format::SeqRange> ranges;
  for (const auto& [first, last] : set.ranges()) ranges.push_back({first, last});
  return ranges;
}
}  // namespace

void FileStream::state_gaps(const std::vector<StreamSpan>& spans, const SeqSet* removals) {
  std::vector<format::SeqRange> again = common(deleted(), covered(spans));
  if (removals != nullptr) again = common(*removals, again);
  std::string pairs;
  const auto put = [&] {
    if (pairs.empty()) return;
    Record r;
    r.type = RecordType::kRemove;
    r.payload = pairs;
    span(*write(r, last_).file).states_facts = true;
    pairs.clear();
  };
  for (const format::SeqRange& range : again) {
    pairs += format::encode_range(range);
    if (pairs.size() >= format::kRange * kRangesPerRecord) put();
  }
  put();
}

void FileStream::release_all() {
  index_.each_young([this](const MessagePlace& place) { store_.place_dropped(id_, place); });
  for (uint32_t number : segments_) store_.part_dropped(number, id_);
  segments_.clear();
}

void FileStream::give_up(uint64_t seq, const Error& why) {
  if (index_.find(seq) != nullptr) lose(seq, why);
}

void FileStream::plan_copy(CopyJob& job, uint64_t first, uint64_t last) const {
  first = std::max(first, first_);
  last = std::min(last, last_);
  if (first > last) return;
  if (compress_) job.compress.insert(id_);
  const auto [it, fresh] = job.alive.try_emplace(id_);
  CopyJob::Alive& alive = it->second;
  alive.first = fresh ? first : std::min(alive.first, first);
  alive.last = fresh ? last : std::max(alive.last, last);
  alive.gaps.clear();
  auto gap = deleted().ranges().upper_bound(alive.first);
  if (gap != deleted().ranges().begin()) --gap;
  for (; gap != deleted().ranges().end() && gap->first <= alive.last; ++gap) alive.gaps.push_back({gap->first, gap->second});
}

void FileStream::moved(const CopyJob& job, uint64_t first, uint64_t last) {
  MessagePlace to;
  index_.cool(
      first, last, [&](const MessagePlace& place) { return job.copies(place.file); },
      [&](uint64_t seq) -> const MessagePlace* {
        const SegmentEntry* e = job.find(id_, seq);
        if (e == nullptr) return nullptr;
        to = MessagePlace::on_file(job.number, e->at.offset, e->at.accounted_bytes, true, e->at.subject_hash);
        return &to;
      });
}

/// The places of a chunk, newer segments over older ones.
bool FileStream::load_places(uint64_t first, std::span<MessagePlace> places) {
  const uint64_t last = first + places.size() - 1;
  for (uint32_t number : segments_) {
    const bool read = store_.each_entry(number, id_, first, last, [&](const format::IndexEntry& e) {
      if (e.seq < first_ || e.seq > last_) return;
      places[e.seq - first] = MessagePlace::on_file(number, e.offset, e.accounted_bytes, true, e.subject_hash);
    });
    if (!read) return false;
  }
  auto gap = deleted().ranges().upper_bound(first);
  if (gap != deleted().ranges().begin()) --gap;
  for (; gap != deleted().ranges().end() && gap->first <= last; ++gap) {
    for (uint64_t s = std::max(gap->first, first); s <= std::min(gap->second, last); ++s) places[s - first] = {};
  }
  return true;
}

Result<IndexedStream::Fetched> FileStream::fetch(uint64_t seq, const MessagePlace& place) const {
  const uint64_t offset = uint64_t{place.offset8} * 8;
  Result<Fetched> fetched(std::in_place);
  const auto take = [&](const Record& r) {
    if (r.type != RecordType::kMessage || r.stream != id_ || r.seq != seq) return false;
    fetched->message = {StreamSeq(seq), r.time, r.subject, r.headers, r.payload};
    fetched->msg_id = r.msg_id;
    return true;
  };
  if (const auto near = store_.read_held(place.file, offset); near && !near->sealed && take(*near)) return fetched;
  auto read = store_.read_message(place.file, offset, seq);
  if (!read) {
    fetched = std::unexpected(std::move(read.error()));
  } else if (take(read->record)) {
    fetched->pin = std::move(read->pin);
  } else {
    fetched = fail(Errc::kCorrupt, "another record stands in its place");
  }
  return fetched;
}

uint64_t FileStream::refused_reads() const { return store_.read_errors(); }

void FileStream::hold(std::shared_ptr<const void> pin) { store_.hold(std::move(pin)); }

void FileStream::dropped(const MessagePlace& place) { store_.place_dropped(id_, place); }

void FileStream::message_lost(uint64_t seq, const Error& why) { store_.message_lost(name_, seq, why); }

void FileStream::each_msg_id(WallNanos since,
                             const std::function<void(std::string_view, StreamSeq, WallNanos)>& visit) {
  // Removed and skipped messages keep their ids: in their file, and when that has gone in one of ids.
  std::vector<std::pair<uint64_t, std::pair<std::string, WallNanos>>> found;
  IndexedStream::each_msg_id(since, [&](std::string_view id, StreamSeq seq, WallNanos time) {
    found.push_back({seq.value(), {std::string(id), time}});
  });
  for (const RecoveredId& id : ids_) {
    if (index_.find(id.seq) != nullptr || store_.files().find(id.file) == nullptr) continue;
    auto read = store_.read_record(id.file, id.offset);
    if (!read || read->record.stream != id_ || read->record.seq != id.seq || read->record.time < since) continue;
    found.push_back({id.seq, {std::string(read->record.msg_id), read->record.time}});
  }
  std::vector<RecoveredId>().swap(ids_);
  each_removed_id(since, [&](const Record& r) { found.push_back({r.seq, {std::string(r.msg_id), r.time}}); });
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  uint64_t last = 0;
  for (const auto& [seq, id] : found) {
    if (seq != last) visit(id.first, StreamSeq(seq), id.second);
    last = seq;
  }
}

/// Of messages that stand in segments although they are removed, and of those that stand nowhere any more.
void FileStream::each_removed_id(WallNanos since, const std::function<void(const Record&)>& visit) {
  store_.each_kept_id(id_, since, visit);
  for (const auto& [number, file] : store_.files().all()) {
    const SegmentPart* part = file->is_journal ? nullptr : file->part_of(id_);
    if (part == nullptr || part->live == part->entries || part->last_time < since) continue;
    std::vector<format::IndexEntry> removed;
    store_.each_entry(number, id_, part->first, part->last, [&](const format::IndexEntry& e) {
      if (index_.find(e.seq) == nullptr) removed.push_back(e);
    });
    for (auto e = removed.rbegin(); e != removed.rend(); ++e) {
      const auto read = store_.read_message(number, e->offset, e->seq);
      if (!read || read->record.type != RecordType::kMessage || read->record.seq != e->seq) continue;
      if (read->record.time < since) break;
      if (!read->record.msg_id.empty()) visit(read->record);
    }
  }
}

}  // namespace sluice
