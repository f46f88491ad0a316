#include "spool/queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr Logger kLog{"spool"};
constexpr std::string_view kQuarantineStream = "quarantine";
constexpr std::string_view kStateOfLane = "sender";
constexpr std::string_view kStateOfClock = "clock";
constexpr std::chrono::seconds kTick{30};
constexpr std::chrono::seconds kSweepTick{1};
constexpr std::chrono::seconds kStuckLook{1};
constexpr std::chrono::minutes kMarkEvery{10};
constexpr size_t kSweepAtOnce = 64;
/// Small files: a node's spool is small, and a file is given back only as a whole.
constexpr uint64_t kJournalFile_bytes = 4 * kMiB;
constexpr uint64_t kSegment_bytes = 16 * kMiB;
constexpr uint64_t kCache_bytes = 1 * kMiB;
/// 2020-01-01: by a clock that shows less nothing can be said of an age.
constexpr WallNanos kPlausible = 1'577'836'800'000'000'000;

std::string stream_name(SpoolLane lane) { return fmt::format("P{}{}", lane.priority, lane.reliable ? "" : ".plain"); }

std::string one_line(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(out, [](char c) { return c == '\r' || c == '\n'; }, ' ');
  return out;
}

void read_lane_state(std::string_view text, StreamSeq& tried, uint32_t& tries) {
  uint64_t seq = 0;
  uint32_t count = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, seq);
  if (first.ec != std::errc{} || first.ptr == end) return;
  if (std::from_chars(first.ptr + 1, end, count).ec != std::errc{}) return;
  tried = StreamSeq(seq);
  tries = count;
}

std::string state_text(StreamSeq tried, uint32_t tries) { return fmt::format("{} {}", tried.value(), tries); }

/// The newest state of a consumer record.
std::string newest(const RecoveredConsumer& found) { return found.deltas.empty() ? found.snapshot : found.deltas.back(); }

}  // namespace

std::array<SpoolLane, 2 * kSpoolPriorities> all_spool_lanes() {
  std::array<SpoolLane, 2 * kSpoolPriorities> all{};
  for (size_t i = 0; i < all.size(); ++i)
    all[i] = {.priority = static_cast<uint8_t>(i % kSpoolPriorities), .reliable = i < kSpoolPriorities};
  return all;
}

// -- opening

SpoolQueue::SpoolQueue(Env& env, SpoolQueueOptions options)
    : env_(env), options_(std::move(options)), timeline_(env.clock), timer_(env.timers.make([this] { tick(); })),
      stuck_timer_(env.timers.make([this] {
        if (store_->failed()) return fail_waiters();
        if (!waiters_.empty()) stuck_timer_->start(kStuckLook);
      })) {}

SpoolQueue::~SpoolQueue() = default;

Result<std::unique_ptr<SpoolQueue>> SpoolQueue::open(Env& env, SpoolQueueOptions options) {
  std::unique_ptr<SpoolQueue> queue(new SpoolQueue(env, std::move(options)));
  if (Status s = queue->open_store(); !s) return std::unexpected(s.error());
  return queue;
}

Status SpoolQueue::open_store() {
  StoreOptions store;
  store.dir = options_.dir;
  store.journal_file_bytes = kJournalFile_bytes;
  store.segment_max_bytes = kSegment_bytes;
  store.cache_bytes = kCache_bytes;
  store.reserve_bytes = options_.reserve_bytes;
  auto opened = Store::open(env_, store);
  if (!opened) return std::unexpected(opened.error());
  store_ = std::move(*opened);
  for (SpoolLane lane : all_spool_lanes()) {
    if (Status s = open_lane(lane); !s) return s;
  }
  quarantine_ = store_->find_stream(kQuarantineStream);
  if (quarantine_ == nullptr) {
    auto made = store_->create_stream(kQuarantineStream, "{}", StreamSeq(1));
    if (!made) return std::unexpected(made.error());
    quarantine_ = *made;
  }
  for (const RecoveredConsumer& found : store_->consumers(kQuarantineStream)) {
    clock_key_ = found.key;
    timeline_.resume(newest(found));
  }
  if (clock_key_.is_zero()) clock_key_ = store_->put_consumer(kQuarantineStream, kStateOfClock, "{}");
  for (SpoolLane lane : all_spool_lanes()) scan(lane);
  scan_quarantine();
  store_->set_consumer_snapshot_source([this](ConsumerKey key) { return snapshot(key); });
  store_->on_durable([this](CommitNo durable) { run_waiters(durable); });
  keep_ticking();
  return {};
}

Status SpoolQueue::open_lane(SpoolLane lane) {
  const std::string name = stream_name(lane);
  Lane& at = state(lane);
  at.stream = store_->find_stream(name);
  if (at.stream == nullptr) {
    auto made = store_->create_stream(name, "{}", StreamSeq(1));
    if (!made) return std::unexpected(made.error());
    at.stream = *made;
  }
  for (const RecoveredConsumer& found : store_->consumers(name)) {
    at.key = found.key;
    read_lane_state(newest(found), at.tried, at.tries);
  }
  if (at.key.is_zero()) at.key = store_->put_consumer(name, kStateOfLane, "{}");
  at.durable = at.stream->state().last_seq;
  return {};
}

void SpoolQueue::scan(SpoolLane lane) {
  for (StreamSeq from;;) {
    const auto found = next(lane, from);
    if (!found) return;
    ids_.insert_or_assign(std::hash<std::string>{}(found->entry.submission.id), found->place);
    state(lane).earliest = std::min(state(lane).earliest, found->entry.expires);
    from = found->place.seq.next();
  }
}

/// A crash between the two halves of a move leaves an entry in its lane and here: the lane has it.
void SpoolQueue::scan_quarantine() {
  for (StreamSeq from;;) {
    const auto found = next_quarantined(from);
    if (!found) return;
    const std::string& id = found->entry.submission.id;
    const auto known = find(id);
    if (known && !known->quarantined) {
      quarantine_->remove(found->place.seq, false);
    } else {
      ids_.insert_or_assign(std::hash<std::string>{}(id), found->place);
    }
    from = found->place.seq.next();
  }
}

// -- submitting

Status SpoolQueue::writable() const {
  Status s = store_->writable();
  if (s || s.error().code != Errc::kNoSpace) return s;
  return fail(Errc::kNoSpace, fmt::format("the disk of the spool's folder {} is full: less than 'limits.reserve' ({:g} MiB) is free there. "
                                          "Make room on it, or lower that key",
                                          options_.dir, static_cast<double>(options_.reserve_bytes) / kMiB));
}

Status SpoolQueue::room_for(const Submission& submission) const {
  if (Status s = writable(); !s) return s;
  const SpoolLane lane{submission.priority, submission.reliable};
  const SpoolLane other{submission.priority, !submission.reliable};
  const uint64_t waiting = state(lane).stream->state().messages + state(other).stream->state().messages;
  if (waiting >= options_.max_messages)
    return fail(Errc::kFull, fmt::format("spool is full: {} messages of priority {}", waiting, submission.priority));
  uint64_t bytes = submission.payload.size();
  for (SpoolLane each : all_spool_lanes()) bytes += state(each).stream->state().bytes;
  if (bytes > options_.max_bytes) return fail(Errc::kFull, fmt::format("spool is full: {} bytes", bytes));
  return {};
}

SpoolEntry SpoolQueue::make_entry(Submission submission) const {
  SpoolEntry entry;
  entry.accepted = timeline_.now();
  const WallNanos age = env_.clock.wall() - submission.created;
  const bool known = submission.created >= kPlausible && age > 0;
  std::chrono::nanoseconds lives = submission.ttl - std::chrono::nanoseconds(known ? age : 0);
  if (options_.max_age.count() != 0) lives = std::min(lives, options_.max_age);
  entry.expires = entry.accepted + lives.count();
  entry.submission = std::move(submission);
  return entry;
}

void SpoolQueue::refuse(Error why, SubmitDone done) {
  ++figures_.refused[to_string(why.code)];
  env_.executor.post([told = std::move(done), error = std::move(why), alive = std::weak_ptr<char>(alive_)]() mutable {
    if (!alive.expired()) told(std::unexpected(std::move(error)));
  });
}

void SpoolQueue::submit(Submission submission, bool held, SubmitDone done) {
  if (Status s = check_submission(submission, options_.max_payload_bytes); !s) return refuse(std::move(s.error()), std::move(done));
  if (const auto known = find(submission.id); known && !known->quarantined) {
    ++figures_.duplicates;
    Accepted accepted{std::move(submission.id), true, *known};
    return wait_durable([accepted = std::move(accepted), told = std::move(done)](Status s) mutable {
      if (s) return told(std::move(accepted));
      told(std::unexpected(std::move(s.error())));
    });
  }
  if (Status s = room_for(submission); !s) return refuse(std::move(s.error()), std::move(done));
  SpoolEntry entry = make_entry(std::move(submission));
  mark_when_due();
  const auto place = append(entry, false);
  if (!place) return refuse(place.error(), std::move(done));
  ++figures_.submitted;
  if (held) state(place->lane).held.insert(place->seq);
  Accepted accepted{std::move(entry.submission.id), false, *place};
  wait_durable([this, accepted = std::move(accepted), told = std::move(done)](Status s) mutable {
    if (!s) return told(std::unexpected(std::move(s.error())));
    Lane& lane = state(accepted.place.lane);
    lane.durable = std::max(lane.durable, accepted.place.seq);
    tell_changed();
    told(std::move(accepted));
  });
}

void SpoolQueue::submit_quarantined(Submission broken, std::string_view reason, std::string_view text, SubmitDone done) {
  if (broken.id.empty()) broken.id = make_uuid(env_.random);
  if (!is_valid_literal(broken.subject)) broken.subject = "malformed";
  if (const auto known = find(broken.id); known && known->quarantined) {
    ++figures_.duplicates;
    return wait_durable([accepted = Accepted{broken.id, true, *known}, told = std::move(done)](Status s) mutable {
      if (s) return told(std::move(accepted));
      told(std::unexpected(std::move(s.error())));
    });
  }
  if (Status s = writable(); !s) return refuse(std::move(s.error()), std::move(done));
  SpoolEntry entry = make_entry(std::move(broken));
  entry.reason = fmt::format("{} {}", reason, one_line(text));
  mark_when_due();
  const auto place = append(entry, true);
  if (!place) return refuse(place.error(), std::move(done));
  ++figures_.quarantined[std::string(reason)];
  Accepted accepted{entry.submission.id, false, *place};
  keep_quarantine_small();
  wait_durable([accepted = std::move(accepted), told = std::move(done)](Status s) mutable {
    if (s) return told(std::move(accepted));
    told(std::unexpected(std::move(s.error())));
  });
}

Result<SpoolPlace> SpoolQueue::append(const SpoolEntry& entry, bool quarantined) {
  SpoolPlace place{{entry.submission.priority, entry.submission.reliable}, quarantined, {}};
  const std::string block = encode_entry(entry);
  AppendRequest request;
  request.subject = entry.submission.subject;
  request.headers = block;
  request.payload = entry.submission.payload;
  request.time = env_.clock.wall();
  place.seq = stream_of(place).append(request);
  if (place.seq.is_zero()) return fail(Errc::kIo, "the spool's disk has failed");
  ids_.insert_or_assign(std::hash<std::string>{}(entry.submission.id), place);
  if (!quarantined) {
    Lane& lane = state(place.lane);
    lane.earliest = std::min(lane.earliest, entry.expires);
    lane.earliest_ahead = std::min(lane.earliest_ahead, entry.expires);
  }
  keep_ticking();
  return place;
}

void SpoolQueue::release(const SpoolPlace& place) {
  if (state(place.lane).held.erase(place.seq) != 0) tell_changed();
}

// -- leaving

std::optional<QueuedEntry> SpoolQueue::head(SpoolLane lane) {
  Lane& at = state(lane);
  for (size_t moved = 0; moved < kSweepAtOnce; ++moved) {
    auto first = next(lane, {});
    if (!first || first->place.seq > at.durable || (!at.held.empty() && *at.held.begin() <= first->place.seq)) return std::nullopt;
    if (!has_expired(first->entry)) return first;
    if (!store_->writable()) return std::nullopt;  // a move needs space too
    quarantine(first->place, kReasonExpired, "older than its time to live");
  }
  tell_changed();
  return std::nullopt;
}

void SpoolQueue::remove(const SpoolPlace& place) {
  const auto known = load(place);
  if (!known) return;
  stream_of(place).remove(place.seq, false);
  ++figures_.removed;
  forget(known->entry.submission.id, place);
  ++state(place.lane).unsettled;
  wait_durable([this, lane = place.lane](const Status& s) {
    if (!s) return;
    --state(lane).unsettled;
    tell_changed();
  });
}

void SpoolQueue::count_try(const SpoolPlace& place) {
  Lane& lane = state(place.lane);
  lane.tries = lane.tried == place.seq ? lane.tries + 1 : 1;
  lane.tried = place.seq;
  store_->append_consumer_delta(lane.key, state_text(lane.tried, lane.tries));
}

uint32_t SpoolQueue::tries_of(const SpoolPlace& place) const {
  const Lane& lane = state(place.lane);
  return lane.tried == place.seq && !place.quarantined ? lane.tries : 0;
}

void SpoolQueue::quarantine(const SpoolPlace& place, std::string_view reason, std::string_view text) {
  if (place.quarantined) return;
  auto found = load(place);
  if (!found) return;
  found->entry.reason = fmt::format("{} {}", reason, one_line(text));
  found->entry.submission.tries += tries_of(place);
  // In this order: a crash in between leaves it twice, never nowhere.
  if (!append(found->entry, true)) return;
  stream_of(place).remove(place.seq, false);
  ++figures_.quarantined[std::string(reason)];
  SLUICE_LOG(kLog, kWarn, "message quarantined id={} subject={} priority={} reason={}", found->entry.submission.id,
             found->entry.submission.subject, place.lane.priority, found->entry.reason);
  keep_quarantine_small();
  tell_changed();
}

void SpoolQueue::keep_quarantine_small() {
  for (;;) {
    const StreamState kept = quarantine_->state();
    const bool over = kept.messages > options_.max_quarantined || kept.bytes > options_.max_quarantined_bytes;
    const auto oldest = over ? next_quarantined({}) : std::nullopt;
    if (!oldest) return;
    discard(oldest->place);
    if (figures_.quarantine_forgotten++ == 0) SLUICE_LOG(kLog, kError, "the quarantine is full and forgets its oldest messages");
  }
}

void SpoolQueue::replay(const SpoolPlace& quarantined, SubmitDone done) {
  auto found = quarantined.quarantined ? load(quarantined) : std::nullopt;
  if (!found) return refuse({Errc::kNotFound, 0, "no such message in the quarantine"}, std::move(done));
  Submission& submission = found->entry.submission;
  if (Status s = check_submission(submission, options_.max_payload_bytes); !s) return refuse(std::move(s.error()), std::move(done));
  if (Status s = room_for(submission); !s) return refuse(std::move(s.error()), std::move(done));
  submission.tries = 0;
  found->entry.reason.clear();
  found->entry.accepted = timeline_.now();
  std::chrono::nanoseconds lives = submission.ttl;
  if (options_.max_age.count() != 0) lives = std::min(lives, options_.max_age);
  found->entry.expires = timeline_.now() + lives.count();
  const auto place = append(found->entry, false);
  if (!place) return refuse(place.error(), std::move(done));
  quarantine_->remove(quarantined.seq, false);
  ++figures_.replayed;
  wait_durable([this, accepted = Accepted{submission.id, false, *place}, told = std::move(done)](Status s) mutable {
    if (!s) return told(std::unexpected(std::move(s.error())));
    Lane& lane = state(accepted.place.lane);
    lane.durable = std::max(lane.durable, accepted.place.seq);
    tell_changed();
    told(std::move(accepted));
  });
}

bool SpoolQueue::discard(const SpoolPlace& quarantined) {
  const auto found = quarantined.quarantined ? load(quarantined) : std::nullopt;
  if (!found) return false;
  quarantine_->remove(quarantined.seq, false);
  forget(found->entry.submission.id, quarantined);
  return true;
}

uint64_t SpoolQueue::repair() {
  uint64_t moved = 0;
  for (SpoolLane lane : all_spool_lanes()) {
    for (auto found = next(lane, {}); found; found = next(lane, found->place.seq.next())) {
      const Status good = check_submission(found->entry.submission, SIZE_MAX);
      if (good) continue;
      quarantine(found->place, kReasonInvalid, good.error().detail);
      ++moved;
    }
  }
  return moved;
}

// -- looking

std::optional<QueuedEntry> SpoolQueue::load(const SpoolPlace& place) {
  auto found = place.quarantined ? next_quarantined(place.seq) : next(place.lane, place.seq);
  if (!found || found->place.seq != place.seq) return std::nullopt;
  return found;
}

std::optional<QueuedEntry> SpoolQueue::next(SpoolLane lane, StreamSeq from) {
  const auto message = state(lane).stream->load_next(from, ">");
  if (!message) return std::nullopt;
  QueuedEntry out{{lane, false, message->seq}, {}};
  if (auto entry = decode_entry(*message)) {
    out.entry = std::move(*entry);
  } else {  // not by us: as good as can be told; check_submission refuses it at the sender
    out.entry.submission.subject = message->subject;
    out.entry.submission.payload = message->payload;
    out.entry.submission.priority = lane.priority;
    out.entry.submission.reliable = lane.reliable;
    out.entry.expires = INT64_MAX;
  }
  return out;
}

std::optional<QueuedEntry> SpoolQueue::next_quarantined(StreamSeq from) {
  const auto message = quarantine_->load_next(from, ">");
  if (!message) return std::nullopt;
  QueuedEntry out{{{}, true, message->seq}, {}};
  if (auto entry = decode_entry(*message)) {
    out.entry = std::move(*entry);
    out.place.lane = {out.entry.submission.priority, out.entry.submission.reliable};
  } else {
    out.entry.submission.payload = message->payload;
    out.entry.reason = kReasonMalformed;
  }
  return out;
}

std::optional<SpoolPlace> SpoolQueue::find(std::string_view id) const {
  const auto known = ids_.find(std::hash<std::string_view>{}(id));
  return known == ids_.end() ? std::nullopt : std::optional(known->second);
}

void SpoolQueue::forget(const std::string& id, const SpoolPlace& place) {
  const auto known = ids_.find(std::hash<std::string>{}(id));
  if (known != ids_.end() && known->second == place) ids_.erase(known);
}

std::vector<SpoolQueue::LaneFigures> SpoolQueue::lanes() {
  std::vector<LaneFigures> out;
  for (SpoolLane lane : all_spool_lanes()) {
    const StreamState kept = state(lane).stream->state();
    LaneFigures figures{lane, kept.messages, kept.bytes, {}};
    if (const auto first = next(lane, {})) figures.oldest = std::chrono::nanoseconds(std::max<int64_t>(0, timeline_.now() - first->entry.accepted));
    out.push_back(figures);
  }
  figures_.quarantine_messages = quarantine_->state().messages;
  figures_.quarantine_bytes = quarantine_->state().bytes;
  return out;
}

// -- what becomes durable

void SpoolQueue::wait_durable(std::move_only_function<void(Status)> done) {
  const CommitNo commit = store_->last_commit();
  if (store_->durable() < commit) {
    waiters_.push_back({commit, std::move(done)});
    if (!stuck_timer_->active()) stuck_timer_->start(kStuckLook);
    return;
  }
  env_.executor.post([told = std::move(done), alive = std::weak_ptr<char>(alive_)]() mutable {
    if (!alive.expired()) told({});
  });
}

void SpoolQueue::run_waiters(CommitNo durable) {
  while (!waiters_.empty() && waiters_.front().commit <= durable) {
    auto done = std::move(waiters_.front().done);
    waiters_.pop_front();
    done({});
  }
}

void SpoolQueue::fail_waiters() {
  for (Waiter& waiter : std::exchange(waiters_, {})) waiter.done(fail(Errc::kIo, "the spool's disk has failed"));
}

void SpoolQueue::tell_changed() {
  if (change_posted_ || !changed_) return;
  change_posted_ = true;
  env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    change_posted_ = false;
    if (changed_) changed_();
  });
}

// -- now and then

void SpoolQueue::keep_ticking() {
  if (!timer_->active()) timer_->start(kTick);
}

/// Sleeps while nothing waits: an idle node is not woken.
void SpoolQueue::tick() {
  if (store_->failed()) return;
  bool waiting = false;
  bool sweeping = false;
  for (SpoolLane lane : all_spool_lanes()) {
    if (state(lane).stream->state().messages == 0) continue;
    waiting = true;
    sweeping |= sweep(lane);
  }
  if (!waiting) return;
  mark_when_due();
  timer_->start(sweeping ? kSweepTick : kTick);
}

/// Messages that expired behind a head that can't leave. The head itself is head()'s, and may be under way.
/// @return whether it is to go on.
bool SpoolQueue::sweep(SpoolLane lane) {
  Lane& at = state(lane);
  if (at.swept.is_zero()) {
    if (at.earliest > timeline_.now() || !store_->writable()) return false;
    at.earliest_ahead = INT64_MAX;
    at.swept = at.stream->state().first_seq;
  }
  at.swept = std::max(at.swept, at.stream->state().first_seq);
  for (size_t seen = 0; seen < kSweepAtOnce; ++seen) {
    const auto found = next(lane, at.swept.next());
    if (!found || found->place.seq > at.durable) {
      at.earliest = at.earliest_ahead;
      at.swept = {};
      return false;
    }
    at.swept = found->place.seq;
    if (!has_expired(found->entry) || at.held.contains(found->place.seq)) {
      at.earliest_ahead = std::min(at.earliest_ahead, found->entry.expires);
    } else {
      quarantine(found->place, kReasonExpired, "older than its time to live");
    }
  }
  return true;
}

void SpoolQueue::mark_when_due() {
  const bool jumped = timeline_.jumped();
  if (jumped) {
    ++figures_.clock_jumps;
    SLUICE_LOG(kLog, kWarn, "the wall clock has jumped; waiting messages keep their remaining time");
  }
  if (jumped || !marked_ || env_.clock.now() - *marked_ >= kMarkEvery) write_mark();
}

void SpoolQueue::write_mark() {
  marked_ = env_.clock.now();
  store_->append_consumer_delta(clock_key_, timeline_.mark());
}

std::string SpoolQueue::snapshot(ConsumerKey key) const {
  if (key == clock_key_) return timeline_.mark();
  for (SpoolLane lane : all_spool_lanes()) {
    if (state(lane).key == key) return state_text(state(lane).tried, state(lane).tries);
  }
  return {};
}

void SpoolQueue::close(std::move_only_function<void(Status)> done) {
  timer_->stop();
  if (!store_->failed()) write_mark();
  store_->close(std::move(done));
}

void SpoolQueue::collect(MetricSink& sink) {
  for (const LaneFigures& lane : lanes()) {
    const std::string priority = std::to_string(lane.lane.priority);
    const MetricLabels labels{{"priority", priority}, {"mode", lane.lane.reliable ? "reliable" : "unreliable"}};
    sink.gauge("sluice_spool_messages", "Messages that wait to be sent.", labels, static_cast<double>(lane.messages));
    sink.gauge("sluice_spool_bytes", "Bytes that wait to be sent.", labels, static_cast<double>(lane.bytes));
    sink.gauge("sluice_spool_oldest_seconds", "How long the oldest waiting message has waited.", labels,
               std::chrono::duration<double>(lane.oldest).count());
  }
  sink.counter("sluice_spool_submitted_total", "Messages accepted.", {}, static_cast<double>(figures_.submitted));
  sink.counter("sluice_spool_duplicates_total", "Submissions whose id waits already.", {}, static_cast<double>(figures_.duplicates));
  sink.counter("sluice_spool_removed_total", "Messages that left for good.", {}, static_cast<double>(figures_.removed));
  sink.counter("sluice_spool_replayed_total", "Messages taken back from the quarantine.", {}, static_cast<double>(figures_.replayed));
  for (const auto& [reason, count] : figures_.refused)
    sink.counter("sluice_spool_refused_total", "Submissions refused.", {{"reason", reason}}, static_cast<double>(count));
  for (const auto& [reason, count] : figures_.quarantined)
    sink.counter("sluice_spool_quarantined_total", "Messages moved to the quarantine.", {{"reason", reason}}, static_cast<double>(count));
  sink.gauge("sluice_spool_quarantine_messages", "Messages in the quarantine.", {}, static_cast<double>(figures_.quarantine_messages));
  sink.counter("sluice_spool_quarantine_forgotten_total", "Messages pushed out of a full quarantine.", {},
               static_cast<double>(figures_.quarantine_forgotten));
  sink.counter("sluice_spool_clock_jumps_total", "Jumps of the wall clock seen while messages waited.", {},
               static_cast<double>(figures_.clock_jumps));
  sink.gauge("sluice_spool_writable", "1 when submissions are accepted as far as the disk is concerned.", {}, writable() ? 1 : 0);
  store_->collect(sink);
}

}  // namespace sluice
