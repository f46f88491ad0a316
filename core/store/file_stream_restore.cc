// A stream put together again after recovery: what segments hold of it by their summaries, what the journal holds by
// its records.
#include <algorithm>
#include <unordered_map>

#include "base/check.h"
#include "base/log.h"
#include "store/file_store.h"
#include "store/file_stream.h"

namespace sluice {

namespace {
constexpr Logger kLog{"store"};
using format::SeqRange;
}  // namespace

void FileStream::restore_begin(RecoveredStreamState&& state) {
  restoring_ = std::make_unique<Restoring>();
  restoring_->state = std::move(state);
  RecoveredStreamState& s = restoring_->state;
  ids_ = std::move(s.ids);
  meta_file_ = s.meta_file;
  last_file_ = s.last_file;
  // each_entry() of load_places looks at these; the true ones follow in restore_end().
  first_ = s.floor;
  last_ = s.last;
}

void FileStream::restore_part(StoreFile& file, SegmentPart& part, const format::PartSummary& summary) {
  RecoveredStreamState& state = restoring_->state;
  state.last_time = std::max(state.last_time, summary.last_time);
  if (part.last < state.floor) {
    part.live = 0;
    part.live_bytes = 0;
    return;
  }
  add_segment(file.number);
  for (const format::SubjectCount& counted : summary.subjects) restore_count(counted);
  bytes_ += summary.bytes;
  std::vector<SeqRange> gone;
  const auto& removed = state.removed.ranges();
  for (SeqRange range : summary.ranges) {
    if (range.first < state.floor) {
      gone.push_back({range.first, std::min(range.last, state.floor - 1)});
      if (range.last < state.floor) continue;
      range.first = state.floor;
    }
    auto it = removed.upper_bound(range.first);
    if (it != removed.begin()) --it;
    for (; it != removed.end() && it->first <= range.last && range.first <= range.last; ++it) {
      if (it->second < range.first) continue;
      if (it->first > range.first) restoring_->cold.push_back({range.first, it->first - 1});
      const uint64_t begin = std::max(range.first, it->first);
      gone.push_back({begin, std::min(range.last, it->second)});
      range.first = gone.back().last + 1;
    }
    if (range.first <= range.last) restoring_->cold.push_back(range);
  }
  if (!gone.empty()) take_out_removed(file, part, summary, gone);
}

/// Entries of a part that are removed count neither for their subjects nor for the file.
void FileStream::take_out_removed(StoreFile& file, SegmentPart& part, const format::PartSummary& summary,
                                  const std::vector<SeqRange>& gone) {
  std::unordered_map<uint32_t, std::string_view> by_hash;  // empty: more than one subject has it
  for (const format::SubjectCount& counted : summary.subjects) {
    const auto [it, fresh] = by_hash.try_emplace(format::subject_hash(counted.subject), counted.subject);
    if (!fresh) it->second = {};
  }
  for (const SeqRange& range : gone) {
    store_.each_entry(file.number, id_, range.first, range.last, [&](const format::IndexEntry& e) {
      std::string subject(by_hash[e.subject_hash]);
      if (subject.empty()) {
        auto read = store_.read_message(file.number, e.offset, e.seq);
        subject = read ? std::string(read->record.subject) : guess_subject(e.seq, e.subject_hash);
      }
      restore_uncount(e.seq, subject, false);
      bytes_ -= std::min<uint64_t>(bytes_, e.accounted_bytes);
      if (part.live > 0) --part.live;
      part.live_bytes -= std::min<uint64_t>(part.live_bytes, e.accounted_bytes);
    });
  }
}

/// What segments hold, each number once, rising and apart.
std::vector<SeqRange> FileStream::merge_cold() {
  std::vector<SeqRange>& cold = restoring_->cold;
  std::sort(cold.begin(), cold.end(), [](const SeqRange& a, const SeqRange& b) { return a.first < b.first; });
  std::vector<SeqRange> merged;
  SeqSet twice;  // a set, as a message may lie in three segments: each of its places is looked at once
  for (const SeqRange& range : cold) {
    if (merged.empty() || range.first > merged.back().last + 1) {
      merged.push_back(range);
      continue;
    }
    if (range.first <= merged.back().last) twice.insert_range(range.first, std::min(range.last, merged.back().last));
    merged.back().last = std::max(merged.back().last, range.last);
  }
  std::vector<SeqRange>().swap(cold);
  if (!twice.empty()) uncount_copies(twice);
  return merged;
}

/// Crashes between copying and recycling leave messages in several segments: the newest place counts.
void FileStream::uncount_copies(const SeqSet& twice) {
  struct Copy {
    uint32_t file;
    format::IndexEntry entry;
  };
  std::unordered_map<uint64_t, Copy> newest;
  uint64_t copies = 0;
  for (uint32_t number : segments_) {  // rising
    for (const auto& [first, last] : twice.ranges()) {
      store_.each_entry(number, id_, first, last, [&](const format::IndexEntry& e) {
        const auto [it, fresh] = newest.try_emplace(e.seq, Copy{number, e});
        if (fresh) return;
        const Copy older = std::exchange(it->second, Copy{number, e});
        ++copies;
        SegmentPart* part = store_.files().find(older.file)->part_of(id_);
        if (part->live > 0) --part->live;
        part->live_bytes -= std::min<uint64_t>(part->live_bytes, older.entry.accounted_bytes);
        bytes_ -= std::min<uint64_t>(bytes_, older.entry.accounted_bytes);
        auto read = store_.read_message(number, e.offset, e.seq);
        restore_uncount(e.seq, read ? std::string(read->record.subject) : guess_subject(e.seq, e.subject_hash), true);
      });
    }
  }
  SLUICE_LOG(kLog, kInfo, "messages found in several segments stream={} count={}", name_, copies);
}

void FileStream::restore_end(const Recovery& recovery) {
  RecoveredStreamState& state = restoring_->state;
  const std::vector<SeqRange> cold = merge_cold();
  const auto in_segment = [&](uint64_t seq) {
    const auto it = std::upper_bound(cold.begin(), cold.end(), seq, [](uint64_t s, const SeqRange& r) { return s < r.first; });
    return it != cold.begin() && std::prev(it)->last >= seq;
  };
  std::vector<SeqRange> stored = cold;
  for (uint64_t s = state.index.next(0); s != 0; s = state.index.next(s + 1)) {
    if (in_segment(s)) continue;
    if (!stored.empty() && stored.back().last + 1 == s) {
      stored.back().last = s;
    } else {
      stored.push_back({s, s});
    }
  }
  std::sort(stored.begin(), stored.end(), [](const SeqRange& a, const SeqRange& b) { return a.first < b.first; });
  size_t kept = 0;
  for (size_t i = 1; i < stored.size(); ++i) {
    if (stored[i].first == stored[kept].last + 1) {
      stored[kept].last = stored[i].last;
    } else {
      stored[++kept] = stored[i];
    }
  }
  stored.resize(stored.empty() ? 0 : kept + 1);
  restore_bounds(state.floor, state.last, state.last_time, stored);
  newest_id_ = state.last_time;
  for (const SeqRange& range : cold) index_.add_cold(range.first, range.last);
  for (uint64_t s = state.index.next(0); s != 0; s = state.index.next(s + 1)) {
    if (in_segment(s)) continue;
    MessagePlace place = *state.index.find(s);
    const std::string_view subject = recovery.subject(place.subject_hash);
    place.subject_hash = format::subject_hash(subject);
    index_.put(s, place);
    restore_count({subject, 1, s, s});
    bytes_ += place.accounted_bytes;
    StoreFile* file = store_.files().find(place.file);
    SLUICE_CHECK(file != nullptr);
    ++file->live_messages;
    file->live_bytes += place.accounted_bytes;
  }
  restore_lost(std::move(state.lost));
  restoring_.reset();
}

}  // namespace sluice
