#include "consumer/cursor.h"

#include <algorithm>

#include "subject/subject.h"

namespace sluice {

Cursor::Cursor(StreamStore& store, std::vector<std::string> filters) : store_(store) {
  set_filters(std::move(filters));
}

void Cursor::set_filters(std::vector<std::string> filters) {
  lanes_.clear();
  for (std::string& filter : filters) {
    if (filter == ">") {  // selects everything, as no filter does
      lanes_.clear();
      return;
    }
    lanes_.push_back(Lane{std::move(filter), StreamSeq{}, StreamSeq{}});
  }
}

void Cursor::start(const ConsumerConfig& config, bool one_per_subject) {
  const StreamState state = store_.state();
  const StreamSeq first = std::max(state.first_seq, StreamSeq{1});
  const StreamSeq after_last = state.last_seq.next();
  next_ = first;
  switch (config.deliver_policy) {
    case DeliverPolicy::kAll: break;
    case DeliverPolicy::kLast: {
      StreamSeq last{};
      if (lanes_.empty()) {
        if (const auto m = store_.load_last("")) last = m->seq;
      }
      for (const Lane& lane : lanes_) {
        if (const auto m = store_.load_last(lane.filter)) last = std::max(last, m->seq);
      }
      next_ = last.is_zero() ? after_last : last;
      break;
    }
    case DeliverPolicy::kNew: next_ = after_last; break;
    case DeliverPolicy::kByStartSequence: next_ = std::max(first, StreamSeq(config.opt_start_seq)); break;
    case DeliverPolicy::kByStartTime:
      next_ = std::max(first, store_.seq_at_time(config.opt_start_time.value_or(kZeroTime)));
      break;
    case DeliverPolicy::kLastPerSubject:
      if (!one_per_subject) make_last_list(config);
      break;
  }
  forget_candidates();
}

void Cursor::make_last_list(const ConsumerConfig& config) {
  list_.clear();
  at_ = 0;
  for (const std::string& filter : config.filters()) {
    store_.each_subject(filter, [this](std::string_view, const SubjectState& subject) {
      list_.push_back(subject.last.value());
      return true;
    });
  }
  std::sort(list_.begin(), list_.end());
  next_ = store_.state().last_seq.next();
}

void Cursor::resume_after(StreamSeq delivered) {
  at_ = static_cast<size_t>(std::upper_bound(list_.begin(), list_.end(), delivered.value()) - list_.begin());
  next_ = std::max(next_, delivered.next());
  forget_candidates();
}

void Cursor::restart_at(StreamSeq seq) {
  list_.clear();
  at_ = 0;
  next_ = std::max(seq, StreamSeq{1});
  forget_candidates();
}

void Cursor::forget_candidates() {
  for (Lane& lane : lanes_) lane.candidate = lane.none_upto = StreamSeq{};
}

bool Cursor::exists(StreamSeq seq) const {
  const StreamState state = store_.state();
  return state.messages > 0 && seq >= state.first_seq && seq <= state.last_seq &&
         !store_.deleted().contains(seq.value());
}

std::optional<StoredMessage> Cursor::next(StreamSeq visible_last) {
  refused_before_ = store_.refused_reads();
  auto message = find_next(visible_last);
  unreadable_ = !message && refused();
  return message;
}

/// What the disk refuses to read is not passed over.
std::optional<StoredMessage> Cursor::find_next(StreamSeq visible_last) {
  while (in_list()) {
    const StreamSeq seq(list_[at_]);
    if (seq > visible_last) return std::nullopt;
    if (auto message = store_.load(seq)) return message;
    if (refused()) return std::nullopt;
    ++at_;  // left the stream meanwhile
  }
  if (next_ > visible_last) return std::nullopt;
  return lanes_.size() > 1 ? next_in_lanes(visible_last) : next_in_order(visible_last);
}

std::optional<StoredMessage> Cursor::next_in_order(StreamSeq visible_last) {
  std::optional<StoredMessage> message;
  if (lanes_.size() == 1 && lanes_[0].none_upto >= visible_last) return message;
  message = store_.load_next(next_, lanes_.empty() ? std::string_view{} : lanes_[0].filter);
  if (message && message->seq <= visible_last) return message;
  if (lanes_.size() == 1 && !refused()) lanes_[0].none_upto = visible_last;
  message.reset();
  return message;
}

StreamSeq Cursor::search(Lane& lane) {
  if (lane.candidate >= next_) return lane.candidate;
  if (lane.none_upto >= next_ && lane.none_upto >= store_.state().last_seq) return StreamSeq{};
  const auto message = store_.load_next(next_, lane.filter);
  if (!message) {
    if (refused()) return StreamSeq{};
    lane.none_upto = store_.state().last_seq;
    return StreamSeq{};
  }
  return lane.candidate = message->seq;
}

std::optional<StoredMessage> Cursor::next_in_lanes(StreamSeq visible_last) {
  while (true) {
    Lane* best = nullptr;
    for (Lane& lane : lanes_) {
      const StreamSeq found = search(lane);
      if (found.is_zero() || found > visible_last) continue;
      if (best == nullptr || found < best->candidate) best = &lane;
    }
    if (best == nullptr || refused()) return std::nullopt;  // a lane that can't be read may have an earlier one
    if (auto message = store_.load(best->candidate)) return message;
    if (refused()) return std::nullopt;
    best->candidate = StreamSeq{};  // left the stream since it was found
  }
}

void Cursor::advance(StreamSeq seq) {
  if (in_list()) {
    ++at_;
    return;
  }
  next_ = seq.next();
}

void Cursor::undo(StreamSeq seq) {
  // In the list phase the scan stands still, so a sequence of the list is always below it.
  if (seq < next_ && at_ > 0 && list_[at_ - 1] == seq.value()) {
    --at_;
    return;
  }
  next_ = seq;
  forget_candidates();
}

StreamSeq Cursor::first_candidate() const { return in_list() ? StreamSeq(list_[at_]) : next_; }

bool Cursor::is_ahead(StreamSeq seq) const { return seq >= next_ || in_list_ahead(seq); }

bool Cursor::in_list_ahead(StreamSeq seq) const {
  return in_list() && std::binary_search(list_.begin() + static_cast<ptrdiff_t>(at_), list_.end(), seq.value());
}

bool Cursor::selects(std::string_view subject) const {
  if (lanes_.empty()) return true;
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [&](const Lane& lane) { return subject_matches(lane.filter, subject); });
}

uint64_t Cursor::count_unfiltered(StreamSeq from, StreamSeq last) const {
  const StreamState state = store_.state();
  if (state.messages == 0) return 0;
  const uint64_t low = std::max(from, state.first_seq).value();
  const uint64_t high = std::min(last, state.last_seq).value();
  if (low > high) return 0;
  uint64_t gone = 0;
  const auto& ranges = store_.deleted().ranges();
  auto at = ranges.upper_bound(low);
  if (at != ranges.begin()) --at;
  for (; at != ranges.end() && at->first <= high; ++at) {
    const uint64_t a = std::max(at->first, low);
    const uint64_t b = std::min(at->second, high);
    if (a <= b) gone += b - a + 1;
  }
  return high - low + 1 - gone;
}

uint64_t Cursor::count_ahead_between(StreamSeq above, StreamSeq last) {
  refused_before_ = store_.refused_reads();
  const StreamSeq from = std::max(above.next(), next_);
  if (lanes_.empty()) return count_unfiltered(from, last);
  uint64_t count = 0;
  for (const Lane& lane : lanes_) {
    StreamSeq at = from;
    while (at <= last) {
      const auto message = store_.load_next(at, lane.filter);
      if (!message || message->seq > last) break;
      ++count;
      at = message->seq.next();
    }
  }
  unreadable_ = refused();
  return count;
}

uint64_t Cursor::count_ahead(StreamSeq last) {
  const uint64_t before = store_.refused_reads();
  uint64_t count = 0;
  for (size_t i = at_; i < list_.size(); ++i) {
    if (exists(StreamSeq(list_[i]))) ++count;
  }
  if (lanes_.empty()) return count + count_unfiltered(next_, last);
  for (const Lane& lane : lanes_) count += store_.count_matching(next_, lane.filter);
  const StreamSeq stored_last = store_.state().last_seq;
  // Both find a message or neither does; unless the disk refused to read it to one of them only.
  if (stored_last > last) count -= std::min(count, count_ahead_between(last, stored_last));
  unreadable_ = store_.refused_reads() != before;
  return count;
}

void Cursor::purged_below(StreamSeq first_kept) {
  while (in_list() && list_[at_] < first_kept.value()) ++at_;
  if (next_ < first_kept && !in_list()) {
    next_ = first_kept;
    forget_candidates();
  }
}

void Cursor::encode(std::string& out) const {
  put_varint(out, next_.value());
  put_varint(out, list_.size() - at_);
  uint64_t before = 0;
  for (size_t i = at_; i < list_.size(); ++i) {
    put_varint(out, list_[i] - before);
    before = list_[i];
  }
}

bool Cursor::decode(VarintReader& in) {
  next_ = StreamSeq(in.next());
  const uint64_t count = in.next();
  if (!in.ok() || count > in.left()) return false;
  list_.clear();
  at_ = 0;
  uint64_t value = 0;
  for (uint64_t i = 0; i < count; ++i) {
    value += in.next();
    list_.push_back(value);
  }
  forget_candidates();
  return in.ok();
}

}  // namespace sluice
