#include "store/indexed_stream.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "subject/subject.h"

namespace sluice {

using format::subject_hash;

namespace {
/// So many are read at most to find out what is left of each subject.
constexpr uint64_t kFewKept_count = 1000;
}  // namespace

// -- bookkeeping

void IndexedStream::add_subject(uint64_t seq, std::string_view subject) {
  Count& c = subjects_.get_or_insert(subject);
  if (c.count == 0) c.first = seq;
  c.last = seq;
  c.last_stale = false;
  ++c.count;
}

void IndexedStream::remove_subject(uint64_t seq, std::string_view subject) {
  Count* c = subjects_.find(subject);
  if (c == nullptr) return;
  if (c->count <= 1) {
    subjects_.erase(subject);
    return;
  }
  --c->count;
  if (seq == c->first) c->first_stale = true;
  if (seq == c->last) c->last_stale = true;
  if (c->count != 1) return;
  if (!c->first_stale) {
    c->last = c->first;
    c->last_stale = false;
  } else if (!c->last_stale) {
    c->first = c->last;
    c->first_stale = false;
  }
}

void IndexedStream::note_append(uint64_t seq, const MessagePlace& place, std::string_view subject, WallNanos time) {
  SLUICE_CHECK(seq == last_ + 1);
  index_.put(seq, place);
  last_ = seq;
  last_time_ = time;
  bytes_ += place.accounted_bytes;
  if (index_.size() == 1) first_ = seq;
  add_subject(seq, subject);
}

void IndexedStream::note_skip_to(uint64_t last, WallNanos time) {
  SLUICE_CHECK(last > last_);
  const uint64_t from = last_ + 1;
  last_ = last;
  last_time_ = time;
  if (index_.empty()) {
    first_ = last + 1;
  } else {
    gaps_.insert_range(from, last);
  }
}

void IndexedStream::close_gap_at_front() {
  if (index_.empty()) {
    first_ = last_ + 1;
    gaps_.clear();
    bytes_ = 0;
    return;
  }
  // While the index can't be read the gaps still tell where the next message is.
  const uint64_t next = index_.next(first_);
  first_ = next != 0 ? next : first_behind_gap();
  gaps_.erase_below(first_);
}

/// The first sequence from first_ on that is no gap.
uint64_t IndexedStream::first_behind_gap() const {
  auto it = gaps_.ranges().upper_bound(first_);
  if (it == gaps_.ranges().begin()) return first_;
  --it;
  return it->second >= first_ ? it->second + 1 : first_;
}

void IndexedStream::forget(uint64_t seq) {
  const MessagePlace place = *index_.find(seq);
  index_.erase(seq);
  bytes_ -= std::min<uint64_t>(bytes_, place.accounted_bytes);
  dropped(place);
}

bool IndexedStream::note_remove(uint64_t seq) {
  const MessagePlace* place = index_.find(seq);
  if (place == nullptr) return false;
  auto fetched = fetch(seq, *place);
  if (!fetched) {
    lose(seq, fetched.error());
    return true;
  }
  remove_subject(seq, fetched->message.subject);
  forget(seq);
  if (seq == first_) {
    ++first_;
  } else {
    gaps_.insert(seq);
  }
  close_gap_at_front();
  return true;
}

uint64_t IndexedStream::note_purge_below(uint64_t first_kept) {
  if (first_kept <= first_ && !(index_.empty() && first_kept > last_ + 1)) return 0;
  const uint64_t before = index_.size();
  if (first_kept > last_) {
    dropped_all();
    index_.clear();
    subjects_.clear();
    last_ = first_kept - 1;
    close_gap_at_front();
    return before;
  }
  if (keep_only_from(first_kept)) return before - index_.size();
  for (uint64_t s = index_.next(first_); s != 0 && s < first_kept; s = index_.next(s + 1)) {
    auto fetched = fetch(s, *index_.find(s));
    if (!fetched) {
      lose(s, fetched.error());
      continue;
    }
    remove_subject(s, fetched->message.subject);
    forget(s);
  }
  first_ = std::max(first_, first_kept);
  close_gap_at_front();
  return before - index_.size();
}

/// Where little stays it is counted anew, so that nothing of what goes needs to be read. @return false: nothing was
/// changed, as too much stays, or some of it can't be read.
bool IndexedStream::keep_only_from(uint64_t first_kept) {
  std::vector<std::pair<uint64_t, std::string>> kept;
  const uint64_t most = std::min(kFewKept_count, index_.size() / 2);
  for (uint64_t s = index_.next(first_kept); s != 0; s = index_.next(s + 1)) {
    if (kept.size() == most) return false;
    const auto fetched = fetch(s, *index_.find(s));
    if (!fetched) return false;
    kept.emplace_back(s, fetched->message.subject);
  }
  for (uint64_t s = index_.next(first_); s != 0 && s < first_kept; s = index_.next(s + 1)) forget(s);
  subjects_.clear();
  for (const auto& [seq, subject] : kept) add_subject(seq, subject);
  first_ = std::max(first_, first_kept);
  close_gap_at_front();
  return true;
}

std::string IndexedStream::guess_subject(uint64_t seq, uint32_t hash) {
  std::string subject;
  subjects_.each_match(">", [&](std::string_view name, const Count& c) {
    if (subject_hash(name) != hash || seq < c.first || seq > c.last) return true;
    subject = name;
    return false;
  });
  return subject;
}

/// A message whose bytes are gone: out of the index.
void IndexedStream::lose(uint64_t seq, const Error& why) {
  remove_subject(seq, guess_subject(seq, index_.find(seq)->subject_hash));
  forget(seq);
  if (seq == first_) {
    ++first_;
  } else {
    gaps_.insert(seq);
  }
  close_gap_at_front();
  lost_.insert(seq);
  message_lost(seq, why);
}

void IndexedStream::restore_count(const format::SubjectCount& counted) {
  Count& c = subjects_.get_or_insert(counted.subject);
  if (c.count == 0 || counted.first < c.first) {
    c.first = counted.first;
    c.first_stale = false;
  }
  if (c.count == 0 || counted.last > c.last) {
    c.last = counted.last;
    c.last_stale = false;
  }
  c.count += counted.count;
}

void IndexedStream::restore_uncount(uint64_t seq, std::string_view subject, bool twice) {
  if (!twice) return remove_subject(seq, subject);
  if (Count* c = subjects_.find(subject); c != nullptr && c->count > 1) --c->count;
}

void IndexedStream::restore_bounds(uint64_t floor, uint64_t last, WallNanos last_time,
                                   const std::vector<format::SeqRange>& stored) {
  last_ = std::max(last, floor == 0 ? 0 : floor - 1);
  last_time_ = last_time;
  gaps_.clear();
  first_ = last_ + 1;
  if (stored.empty()) return;
  first_ = stored.front().first;
  for (size_t i = 1; i < stored.size(); ++i) gaps_.insert_range(stored[i - 1].last + 1, stored[i].first - 1);
  if (stored.back().last < last_) gaps_.insert_range(stored.back().last + 1, last_);
}

// -- reading

StreamState IndexedStream::state() const {
  StreamState s;
  s.messages = index_.size();
  s.bytes = bytes_;
  s.first_seq = StreamSeq(first_ == 1 && last_ == 0 ? 0 : first_);
  s.last_seq = StreamSeq(last_);
  s.last_time = last_time_;
  s.num_subjects = subjects_.size();
  if (index_.empty()) return s;
  s.num_deleted = last_ - first_ + 1 - s.messages;
  if (first_time_seq_ != first_) {
    first_time_ = kZeroTime;
    first_time_seq_ = 0;
    const MessagePlace* place = index_.find(first_);  // null: its chunk can't be read now
    if (place != nullptr) {
      if (auto fetched = fetch(first_, *place)) {
        first_time_ = fetched->message.time;
        first_time_seq_ = first_;
      }
    }
  }
  s.first_time = first_time_;
  return s;
}

Result<IndexedStream::Fetched> IndexedStream::fetch_or_lose(uint64_t seq) {
  const MessagePlace* place = index_.find(seq);
  if (place == nullptr) return fail(Errc::kNotFound, {});
  return fetch_or_lose(seq, *place);
}

/// After kCorrupt the message is no longer in the index.
Result<IndexedStream::Fetched> IndexedStream::fetch_or_lose(uint64_t seq, const MessagePlace& place) {
  auto fetched = fetch(seq, place);
  if (!fetched && fetched.error().code == Errc::kCorrupt) lose(seq, fetched.error());
  return fetched;
}

std::optional<StoredMessage> IndexedStream::load(StreamSeq seq) {
  auto fetched = fetch_or_lose(seq.value());
  if (!fetched) return std::nullopt;
  hold(std::move(fetched->pin));
  return fetched->message;
}

void IndexedStream::resolve_first(std::string_view subject, Count& c) {
  if (!c.first_stale) return;
  const uint32_t hash = subject_hash(subject);
  for (uint64_t s = index_.next(c.first + 1); s != 0 && s <= c.last; s = index_.next(s + 1)) {
    if (index_.find(s)->subject_hash != hash) continue;
    auto fetched = fetch(s, *index_.find(s));
    if (fetched && fetched->message.subject != subject) continue;
    c.first = s;
    c.first_stale = false;
    return;
  }
}

void IndexedStream::resolve_last(std::string_view subject, Count& c) {
  if (!c.last_stale) return;
  const uint32_t hash = subject_hash(subject);
  for (uint64_t s = index_.prev(c.last - 1); s != 0 && s >= c.first; s = index_.prev(s - 1)) {
    if (index_.find(s)->subject_hash == hash) {
      auto fetched = fetch(s, *index_.find(s));
      if (!fetched || fetched->message.subject == subject) {
        c.last = s;
        c.last_stale = false;
        return;
      }
    }
  }
}

/// Which messages of the index are worth a look: bounds, and hashes when few subjects match.
struct IndexedStream::Scan {
  static constexpr size_t kFew = 32;
  std::string_view filter;
  bool all = false;
  bool nothing = false;
  uint64_t from = 0;
  uint64_t last = UINT64_MAX;
  size_t hash_count = 0;  ///< 0 = any
  std::array<uint32_t, kFew> hashes;  ///< the first hash_count are set; a scan is made for each read

  bool may_match(const MessagePlace& place) const {
    if (hash_count == 0) return true;
    return std::find(hashes.begin(), hashes.begin() + hash_count, place.subject_hash) != hashes.begin() + hash_count;
  }
  bool matches(std::string_view subject) const { return all || subject == filter || subject_matches(filter, subject); }
};

IndexedStream::Scan IndexedStream::make_scan(uint64_t from, std::string_view filter) {
  Scan scan;
  scan.filter = filter;
  scan.from = std::max(from, first_);
  if (filter.empty() || filter == ">") {
    scan.all = true;
    return scan;
  }
  uint64_t first = UINT64_MAX;
  uint64_t last = 0;
  size_t matched = 0;
  const auto take = [&](std::string_view subject, Count& c) {
    if (matched == Scan::kFew) {
      ++matched;
      return false;
    }
    scan.hashes[matched++] = subject_hash(subject);
    first = std::min(first, c.first);
    last = std::max(last, c.last);
    return true;
  };
  if (has_wildcards(filter)) {
    subjects_.each_match(filter, take);
  } else if (Count* c = subjects_.find(filter)) {
    resolve_first(filter, *c);
    take(filter, *c);
  }
  if (matched > Scan::kFew) return scan;
  scan.nothing = matched == 0;
  scan.hash_count = matched;
  scan.from = std::max(scan.from, first);
  scan.last = last;
  return scan;
}

std::optional<StoredMessage> IndexedStream::load_next_below(StreamSeq from, StreamSeq end, std::string_view filter) {
  Scan scan = make_scan(from.value(), filter);
  if (scan.nothing) return std::nullopt;
  scan.last = std::min(scan.last, end.value() - 1);
  uint64_t s = scan.from;
  for (const MessagePlace* place = index_.seek(s); place != nullptr && s <= scan.last; place = index_.seek(++s)) {
    if (!scan.may_match(*place)) continue;
    auto fetched = fetch_or_lose(s, *place);
    if (!fetched && index_.find(s) != nullptr) return std::nullopt;  // not readable now: later, but never skipped
    if (!fetched || !scan.matches(fetched->message.subject)) continue;
    hold(std::move(fetched->pin));
    return fetched->message;
  }
  return std::nullopt;
}

uint64_t IndexedStream::find_last(std::string_view filter) {
  if (filter.empty() || filter == ">") return index_.prev(UINT64_MAX - 1);
  while (true) {
    uint64_t best = 0;
    bool stale = false;
    const auto take = [&](std::string_view subject, Count& c) {
      if (c.last <= best) return true;
      resolve_last(subject, c);
      if (c.last > best) {
        best = c.last;
        stale = c.last_stale;
      }
      return true;
    };
    if (has_wildcards(filter)) {
      subjects_.each_match(filter, take);
    } else if (Count* c = subjects_.find(filter)) {
      take(filter, *c);
    }
    return stale ? 0 : best;
  }
}

std::optional<StoredMessage> IndexedStream::load_last(std::string_view filter) {
  while (true) {
    const uint64_t seq = find_last(filter);
    if (seq == 0) return std::nullopt;
    if (auto message = load(StreamSeq(seq))) return message;
    if (index_.find(seq) != nullptr) return std::nullopt;  // unreadable now; lost ones have left the index
  }
}

StreamSeq IndexedStream::seq_at_time(WallNanos time) {
  uint64_t low = first_;
  uint64_t high = last_ + 1;  // answer in [low, high]
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const uint64_t seq = index_.next(middle);
    if (seq == 0 || seq >= high) {
      high = middle;
      continue;
    }
    auto fetched = fetch_or_lose(seq);
    if (!fetched) {
      if (index_.find(seq) != nullptr) return StreamSeq(seq);
      continue;  // lost just now: look again
    }
    if (fetched->message.time >= time) {
      high = middle;
    } else {
      low = seq + 1;
    }
  }
  const uint64_t found = index_.next(low);
  return StreamSeq(found == 0 ? last_ + 1 : found);
}

std::optional<SubjectState> IndexedStream::subject_state(std::string_view literal) {
  Count* c = subjects_.find(literal);
  if (c == nullptr) return std::nullopt;
  resolve_first(literal, *c);
  resolve_last(literal, *c);
  return SubjectState{c->count, StreamSeq(c->first), StreamSeq(c->last)};
}

void IndexedStream::each_subject(std::string_view filter,
                                 const std::function<bool(std::string_view, const SubjectState&)>& visit) {
  subjects_.each_match(filter, [&](std::string_view subject, Count& c) {
    resolve_first(subject, c);
    resolve_last(subject, c);
    return visit(subject, SubjectState{c.count, StreamSeq(c.first), StreamSeq(c.last)});
  });
}

uint64_t IndexedStream::count_all_from(uint64_t from) const {
  if (index_.empty() || from > last_) return 0;
  if (from <= first_) return index_.size();
  uint64_t missing = 0;
  auto it = gaps_.ranges().upper_bound(from);
  if (it != gaps_.ranges().begin()) --it;
  for (; it != gaps_.ranges().end(); ++it) {
    if (it->second >= from) missing += it->second - std::max(it->first, from) + 1;
  }
  return last_ - from + 1 - missing;
}

uint64_t IndexedStream::count_matching(StreamSeq from, std::string_view filter) {
  if (filter.empty() || filter == ">") return count_all_from(from.value());
  uint64_t count = 0;
  if (from.value() <= first_) {
    subjects_.each_match_unordered(filter, [&](std::string_view, const Count& c) {
      count += c.count;
      return true;
    });
    return count;
  }
  if (Count* c = has_wildcards(filter) ? nullptr : subjects_.find(filter)) {
    resolve_first(filter, *c);
    if (from.value() <= c->first) return c->count;
  }
  const Scan scan = make_scan(from.value(), filter);
  if (scan.nothing) return 0;
  for (uint64_t s = index_.next(scan.from); s != 0 && s <= scan.last; s = index_.next(s + 1)) {
    if (!scan.may_match(*index_.find(s))) continue;
    auto fetched = fetch_or_lose(s);
    if (fetched && scan.matches(fetched->message.subject)) ++count;
  }
  return count;
}

void IndexedStream::each_msg_id(WallNanos since,
                                const std::function<void(std::string_view, StreamSeq, WallNanos)>& visit) {
  for (uint64_t s = index_.next(seq_at_time(since).value()); s != 0; s = index_.next(s + 1)) {
    auto fetched = fetch_or_lose(s);
    if (fetched && !fetched->msg_id.empty()) visit(fetched->msg_id, StreamSeq(s), fetched->message.time);
  }
}

}  // namespace sluice
