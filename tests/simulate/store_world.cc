#include "simulate/store_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include "sim/sealing_keys.h"
#include "simulate/figures.h"

namespace sluice::simulate {

using namespace std::chrono_literals;
using sim::Crash;

namespace {
constexpr size_t kMaxStreams = 6;
constexpr size_t kMaxMessagesInStream = 250;
constexpr size_t kMaxConsumers = 10;
constexpr uint64_t kPlenty_bytes = 1ULL << 30;

std::chrono::nanoseconds micros(uint64_t count) {
  return std::chrono::microseconds(static_cast<int64_t>(count));
}
}  // namespace

StoreWorld::StoreWorld(uint64_t seed, Tally& tally, bool trace, bool lying_disk, bool encrypted)
    : seed_(seed), tally_(tally), trace_(trace), sim_(seed), random_(sim_.random()) {
  options_.dir = "data/store";
  if (encrypted) options_.keys = sim::sealing_keys("the simulator's own");
  options_.journal_file_bytes = (64ULL << random_.below(3)) * kKiB;
  options_.segment_max_bytes = (64ULL << random_.below(3)) * kKiB;
  options_.cache_bytes = (128ULL << random_.below(4)) * kKiB;
  options_.reserve_bytes = 512 * kKiB;
  if (random_.chance(15)) options_.sync = random_.chance(50) ? SyncMode::kNone : SyncMode::kInterval;
  options_.sync_interval = std::chrono::milliseconds(random_.between(1, 50));
  sim_.disk().set_capacity(kPlenty_bytes);
  sim_.disk().set_lying_sync(lying_disk);
  sim_.disk_workers().set_latency(micros(random_.below(50)), micros(random_.between(50, 2000)));
}

std::string StoreWorld::where() const {
  return fmt::format("world seed {} life {}", seed_, life_);
}

void StoreWorld::violated(const std::string& what) const {
  throw Violation(fmt::format("{}: {}", where(), what));
}

void StoreWorld::note(const std::string& what) {
  if (trace_) {
    fmt::print("{} t={}us: {}\n", where(), sim_.clock().now().count() / 1000, what);
    std::fflush(stdout);
  }
}

void StoreWorld::run() {
  ++tally_.worlds;
  // Many short worlds, because each ends with one flipped bit.
  const uint64_t lives = random_.chance(60) ? random_.between(1, 4) : random_.between(10, 40);
  for (life_ = 1; life_ <= lives; ++life_) live();
  if (lives < 10 || random_.chance(70)) flip_and_look();
}

void StoreWorld::live() {
  ++tally_.lives;
  if (!open_store()) return;
  verify();
  const bool synced = options_.sync == SyncMode::kAlways;
  End end = End::kClose;
  const uint64_t draw = random_.below(100);
  if (draw < 50) {
    end = synced ? End::kArmedCut : End::kArmedKill;
  } else if (draw < 70) {
    end = synced ? End::kCut : End::kKill;
  } else if (draw < 80) {
    end = End::kArmedKill;
  } else if (draw < 85) {
    end = End::kKill;
  } else if (draw < 90 && synced) {
    end = End::kFault;
  }
  work(end);
  end_life(end);
}

/// @return false when a crash struck during recovery.
bool StoreWorld::open_store() {
  const bool synced = options_.sync == SyncMode::kAlways;
  const Crash kind = synced && random_.chance(80) ? Crash::kPower : Crash::kKill;
  if (random_.chance(35)) sim_.disk().crash_after_ops(random_.between(1, 1 + random_.below(60)), kind);
  auto opened = Store::open(sim_.env(), options_);
  if (opened && sim_.disk().powered()) {
    sim_.disk().crash_after_ops(0);
    store_ = *std::move(opened);
    return true;
  }
  if (sim_.disk().powered()) violated("open failed: " + opened.error().detail);
  note("crash during recovery");
  if (kind == Crash::kPower) {
    ++tally_.power_cuts;
    ++tally_.cuts_inside;
    ++tally_.cuts_recovering;
  } else {
    ++tally_.kills;
  }
  sim_.crash(Crash::kKill);
  if (opened) opened->reset();
  sim_.drop_tasks();
  sim_.disk().power_on();
  return false;
}

/// Stream and consumer metas (docs/storage_format.md).
bool is_written_twice(Change::Kind kind) {
  return kind == Change::Kind::kCreateStream || kind == Change::Kind::kUpdateMeta || kind == Change::Kind::kPutConsumer;
}

/// What was recovered must be a prefix of the changes made, with everything acknowledged in it.
void StoreWorld::verify() {
  const StoreContents found = read_all(*store_);
  StoreModel model = acked_;
  HighestSeqs highest;
  for (const Change& change : pending_) {
    if (change.kind != Change::Kind::kAppend && change.kind != Change::Kind::kSkip &&
        change.kind != Change::Kind::kPurge && change.kind != Change::Kind::kCreateStream)
      continue;
    const bool given = change.kind == Change::Kind::kAppend || change.kind == Change::Kind::kSkip;
    uint64_t& most = highest[change.stream];
    most = std::max(most, given ? change.seq : change.seq - 1);
  }
  const auto first_difference = difference(model, highest, found);
  auto differs = first_difference;
  size_t taken = 0;
  while (differs && taken < pending_.size()) {
    model.apply(pending_[taken++]);
    differs = difference(model, highest, found);
  }
  if (differs) {
    std::string report = fmt::format(
        "recovered state is no prefix of the changes. Against the {} acknowledged: {}; against all: {}",
        acked_.commit, *first_difference, *differs);
    for (const std::string& line : store_->recovery().notes) report += "\n  recovery: " + line;
    violated(report);
  }
  const RecoveryReport& report = store_->recovery();
  note(fmt::format("recovered: {} batches, {} records, cut {} bytes, lost {}; kept {} of {} unacked",
                   report.journal_batches, report.records, report.cut_bytes, report.lost_records, taken,
                   pending_.size()));
  // A crash while a removed message is being overwritten leaves a torn record that nobody misses.
  if (report.lost_records > erases_) violated(fmt::format("{} records reported lost", report.lost_records));
  if (store_->durable() != store_->last_commit())
    violated(fmt::format("after opening durable {} but last commit {}", store_->durable().value(),
                         store_->last_commit().value()));
  // What is written twice shows with its first copy, one commit before the change's own.
  const bool twice = taken != 0 && is_written_twice(pending_[taken - 1].kind);
  if (store_->last_commit().value() < model.commit - (twice ? 1 : 0))
    violated(fmt::format("last commit {} after recovery, {} was given out by {}", store_->last_commit().value(),
                         model.commit, taken == 0 ? "what is acknowledged" : to_string(pending_[taken - 1].kind)));
  tally_.lost_unacked += pending_.size() - taken;
  remember_recovered(taken);
  pending_.clear();
  for (auto& [name, stream] : model.streams) stream.last_seq = found.streams.at(name).last_seq;
  acked_ = model;
  live_ = std::move(model);
  before_last_rise_ = acked_;
  durable_seen_ = store_->durable().value();
  for (const auto& [key, consumer] : acked_.consumers) acked_keys_.insert(key);
  store_->on_durable([this](CommitNo commit) { became_durable(commit); });
  store_->set_consumer_snapshot_source([this](ConsumerKey key) -> std::string {
    const auto consumer = live_.consumers.find(key.value());
    if (consumer == live_.consumers.end()) violated("snapshot asked of an unknown consumer");
    return std::to_string(consumer->second.deltas);
  });
}

void StoreWorld::became_durable(CommitNo commit) {
  if (!sim_.disk().powered()) return;  // the rest of the round in which the crash struck
  if (commit.value() < durable_seen_) violated("durable fell");
  durable_seen_ = commit.value();
  before_last_rise_ = acked_;
  while (!pending_.empty() && pending_.front().commit <= commit.value()) {
    if (pending_.front().kind == Change::Kind::kPutConsumer) acked_keys_.insert(pending_.front().key);
    acked_.apply(pending_.front());
    pending_.pop_front();
    ++tally_.acked;
    remember_acked();
  }
}

void StoreWorld::work(End end) {
  const uint64_t ops = random_.between(1, random_.chance(20) ? 400 : 60);
  if (end == End::kArmedCut) sim_.disk().crash_after_ops(ops, Crash::kPower);
  if (end == End::kArmedKill) sim_.disk().crash_after_ops(ops, Crash::kKill);
  full_ = end == End::kFault;  // a write that finds no space counts as full for a while
  if (end == End::kFault) {
    sim_.disk().fail_next(random_.chance(50) ? sim::DiskOp::kWrite : sim::DiskOp::kSync,
                          random_.between(1, 30), random_.chance(30) ? Errc::kNoSpace : Errc::kIo);
  }
  const bool armed = end == End::kArmedCut || end == End::kArmedKill;
  uint64_t steps = armed ? 2000 : random_.between(1, 80);
  const uint64_t pace_us = random_.between(1, 3000);
  for (; steps > 0 && sim_.disk().powered(); --steps) {
    sim_.env().executor.post([this] { change_some(); });
    sim_.run_until([this] { return !sim_.disk().powered(); }, micros(random_.below(pace_us)));
    if (!sim_.disk().powered()) return;
    if (random_.chance(30)) check_reads();
    if (random_.chance(1)) squeeze_space();
    if (store_->failed() && random_.chance(20)) return;
  }
}

void StoreWorld::end_life(End end) {
  sim::SimDisk& disk = sim_.disk();
  if (store_->failed() && end != End::kFault && disk.powered()) violated("the store failed by itself");
  bool closed = false;
  if (!disk.powered()) {
    note("crash inside a disk operation");
    ++(end == End::kArmedCut ? tally_.power_cuts : tally_.kills);
    if (end == End::kArmedCut) ++tally_.cuts_inside;
  } else if (end == End::kKill || end == End::kArmedKill) {
    note("kill");
    sim_.crash(Crash::kKill);
    ++tally_.kills;
  } else if (end == End::kClose) {
    note("close");
    store_->close([&](Status status) {
      closed = true;
      if (!status) violated("close: " + status.error().detail);
    });
    if (!sim_.run_until([&] { return closed; }, 60s)) violated("close never answers");
    if (!pending_.empty()) violated("closed, but not everything is durable");
    ++tally_.closes;
  } else {
    note(end == End::kFault ? "fault, then power cut" : "power cut");
    if (end == End::kFault) ++tally_.faults;
    sim_.crash(Crash::kPower);
    ++tally_.power_cuts;
  }
  if (!closed && disk.powered() == false) sim_.crash(Crash::kKill);  // only drops the loop's tasks
  store_.reset();
  sim_.drop_tasks();
  disk.crash_after_ops(0);
  disk.power_on();
}

void StoreWorld::change_some() {
  for (uint64_t count = random_.between(1, 12); count > 0; --count) {
    if (!sim_.disk().powered() || store_->failed()) return;
    change_one();
  }
}

std::string StoreWorld::some_stream() {
  if (live_.streams.empty()) return "";
  return std::next(live_.streams.begin(), static_cast<std::ptrdiff_t>(random_.below(live_.streams.size())))->first;
}

void StoreWorld::record(Change change, CommitNo commit) {
  const uint64_t before = live_.commit;
  change.commit = commit.value();
  if (change.commit <= before)
    violated(fmt::format("{} of {} got commit {} after {}", to_string(change.kind), change.stream,
                         change.commit, before));
  if (change.kind != Change::Kind::kDelta) live_.apply(change);
  live_.commit = change.commit;
  ++tally_.changes;
  remember_made(change);
  if (random_.chance(30)) {
    store_->when_durable(commit, [this, number = commit] {
      if (sim_.disk().powered() && store_->durable() < number)
        violated("when_durable ran too early");
    });
  }
  if (store_->durable() >= commit) {
    if (options_.sync == SyncMode::kAlways) violated("durable before anything was written");
    acked_.apply(change);
    return;
  }
  pending_.push_back(std::move(change));
}

void StoreWorld::add_stream() {
  Change change{Change::Kind::kCreateStream, fmt::format("S{}", next_name_++), "", "", 0, 0, {}, 0};
  if (random_.chance(20) && next_name_ > 3) change.stream = fmt::format("S{}", random_.between(1, next_name_ - 1));
  change.seq = random_.chance(80) ? 1 : random_.between(2, 100'000);
  change.meta = fmt::format("{{\"n\":{}}}", random_.u64());
  auto made = store_->create_stream(change.stream, change.meta, StreamSeq(change.seq));
  if (live_.streams.contains(change.stream)) {
    if (made || made.error().code != Errc::kExists) violated("created a stream that exists");
    return;
  }
  if (!made) violated("create_stream: " + made.error().detail);
  record(std::move(change), store_->last_commit());
}

void StoreWorld::change_one() {
  const std::string name = some_stream();
  const uint64_t draw = random_.below(1000);
  if (name.empty() || (draw < 15 && live_.streams.size() < kMaxStreams)) return add_stream();
  StreamStore* stream = store_->find_stream(name);
  if (!stream) violated("stream " + name + " is gone");
  const StreamModel& model = live_.streams.at(name);
  if (draw < 20) {
    store_->delete_stream(name);
    return record({Change::Kind::kDeleteStream, name, "", "", 0, 0, {}, 0}, store_->last_commit());
  }
  if (draw < 30) {
    Change change{Change::Kind::kUpdateMeta, name, "", fmt::format("{{\"m\":{}}}", random_.u64()), 0, 0, {}, 0};
    store_->update_stream_meta(name, change.meta);
    return record(std::move(change), store_->last_commit());
  }
  if (draw < 150) return change_consumer(name);
  if (draw < 300) return drop_one(name, *stream);
  if (draw < 310 || model.messages.size() > kMaxMessagesInStream) return purge_some(name, *stream);
  if (!store_->writable()) {
    if (!full_ && sim_.disk().powered()) violated("not writable: " + store_->writable().error().detail);
    return;
  }
  if (draw < 330) {
    const StreamSeq seq = stream->skip(sim_.clock().wall(), "");
    if (seq.value() != model.last_seq + 1) violated("skip gave a wrong sequence");
    return record({Change::Kind::kSkip, name, "", "", seq.value(), 0, {}, 0}, stream->last_commit());
  }
  append(name, *stream);
}

void StoreWorld::append(const std::string& name, StreamStore& stream) {
  const uint64_t nonce = (seed_ << 20) + next_nonce_++;
  const WallNanos time = sim_.clock().wall();
  const std::string subject = subject_of(nonce);
  const std::string headers = headers_of(nonce);
  const std::string payload = payload_of(nonce);
  const std::string msg_id = msg_id_of(nonce);
  const StreamSeq seq = stream.append({subject, headers, payload, time, msg_id});
  if (seq.value() != live_.streams.at(name).last_seq + 1)
    violated(fmt::format("append to {} gave {} after {}", name, seq.value(), live_.streams.at(name).last_seq));
  record({Change::Kind::kAppend, name, "", "", seq.value(), 0, make_message(nonce, time), 0},
         stream.last_commit());
}

void StoreWorld::drop_one(const std::string& name, StreamStore& stream) {
  const auto& messages = live_.streams.at(name).messages;
  if (messages.empty() || random_.chance(3)) {
    const uint64_t seq = random_.below(live_.streams.at(name).last_seq + 5);
    const bool there = messages.contains(seq);
    const CommitNo before = stream.last_commit();
    if (stream.remove(StreamSeq(seq), false) != there) violated("remove answers wrongly");
    if (there) return record({Change::Kind::kRemove, name, "", "", seq, 0, {}, 0}, stream.last_commit());
    if (stream.last_commit() != before) violated("removing nothing was a change");
    return;
  }
  const auto place = random_.chance(40)
                         ? messages.begin()
                         : std::next(messages.begin(), static_cast<std::ptrdiff_t>(random_.below(messages.size())));
  const uint64_t seq = place->first;
  const bool erase = random_.chance(10);
  if (erase) ++erases_;
  const std::string bytes = erase ? mark_of(place->second.nonce) : "";
  const uint64_t refused = stream.refused_reads();
  if (!stream.remove(StreamSeq(seq), erase)) {
    if (erase && stream.refused_reads() != refused) return;  // nothing is said to be erased that can't be looked at
    violated(fmt::format("remove {} {} finds nothing", name, seq));
  }
  record({Change::Kind::kRemove, name, "", "", seq, 0, {}, 0}, stream.last_commit());
  if (bytes.empty() || options_.keys != nullptr) return;
  if (recorded_ != nullptr) recorded_->steps.back().erased = bytes;
  store_->when_erased([this, bytes, name, seq] {
    if (!sim_.disk().powered()) return;
    if (const auto path = file_with(sim_.disk(), bytes)) violated(fmt::format("{}:{} is erased, but stands in {}", name, seq, *path));
    remember_erased(bytes);
  });
}

std::optional<std::string> file_with(const sim::SimDisk& disk, const std::string& bytes) {
  for (const std::string& path : disk.all_files()) {
    if (disk.contents(path)->find(bytes) != std::string::npos) return path;
  }
  return std::nullopt;
}

void StoreWorld::purge_some(const std::string& name, StreamStore& stream) {
  const StreamModel& model = live_.streams.at(name);
  uint64_t first_kept = model.last_seq + 1;
  if (random_.chance(70) && !model.messages.empty())
    first_kept = random_.between(model.messages.begin()->first, model.messages.rbegin()->first + 1);
  if (random_.chance(5)) first_kept = model.last_seq + random_.between(1, 50);
  const auto below = static_cast<uint64_t>(
      std::distance(model.messages.begin(), model.messages.lower_bound(first_kept)));
  if (below == 0 && first_kept <= model.last_seq + 1) return;
  const uint64_t removed = stream.purge_below(StreamSeq(first_kept));
  if (removed != below) violated(fmt::format("purge of {} removed {}, expected {}", name, removed, below));
  record({Change::Kind::kPurge, name, "", "", first_kept, 0, {}, 0}, stream.last_commit());
}

void StoreWorld::change_consumer(const std::string& stream) {
  const uint64_t draw = random_.below(100);
  const auto& consumers = live_.consumers;
  if (consumers.empty() || (draw < 8 && consumers.size() < kMaxConsumers)) {
    Change change{Change::Kind::kPutConsumer, stream, fmt::format("C{}", random_.below(4)),
                  fmt::format("{{\"c\":{}}}", random_.u64()), 0, 0, {}, 0};
    const auto same = std::find_if(consumers.begin(), consumers.end(), [&](const auto& entry) {
      return entry.second.stream == stream && entry.second.name == change.name;
    });
    change.key = store_->put_consumer(stream, change.name, change.meta).value();
    if (same != consumers.end()) {
      if (same->first != change.key) violated("a consumer's key changed");
    } else if (acked_keys_.contains(change.key) || consumers.contains(change.key)) {
      violated(fmt::format("consumer key {} was used before", change.key));
    }
    return record(std::move(change), store_->last_commit());
  }
  const auto place = std::next(consumers.begin(), static_cast<std::ptrdiff_t>(random_.below(consumers.size())));
  const uint64_t key = place->first;
  if (draw < 10) {
    store_->delete_consumer(ConsumerKey(key));
    return record({Change::Kind::kDeleteConsumer, place->second.stream, "", "", 0, key, {}, 0}, store_->last_commit());
  }
  // The consumer changes first, then tells the store: a snapshot asked for in between has it already.
  const uint64_t number = ++live_.consumers.at(key).deltas;
  store_->append_consumer_delta(ConsumerKey(key), std::to_string(number));
  record({Change::Kind::kDelta, place->second.stream, "", "", number, key, {}, 0}, store_->last_commit());
}

/// One look at a random place, through the calls that consumers and the API use.
void StoreWorld::check_reads() {
  const std::string name = some_stream();
  if (name.empty()) return;
  StreamStore& stream = *store_->find_stream(name);
  const StreamModel& model = live_.streams.at(name);
  const uint64_t seq = random_.below(model.last_seq + 3);
  uint64_t refused = figure(*store_, "sluice_store_read_errors_total");
  const auto same = [&](const std::optional<StoredMessage>& found, auto place, const char* call) {
    const bool there = place != model.messages.end();
    // What the disk refuses to read is "not now"; giving another message instead would skip this one.
    const uint64_t before = std::exchange(refused, figure(*store_, "sluice_store_read_errors_total"));
    if (refused != before && !found) return;
    if (found.has_value() != there)
      violated(fmt::format("{} of {} at {}: found {}, expected {}", call, name, seq, found.has_value(), there));
    if (there && (found->seq.value() != place->first ||
                  digest_of(found->time, found->subject, found->headers, found->payload) != place->second.digest))
      violated(fmt::format("{} of {} at {} gave {} or other bytes", call, name, seq, found->seq.value()));
  };
  same(stream.load(StreamSeq(seq)), model.messages.find(seq), "load");
  same(stream.load_next(StreamSeq(seq), ""), model.messages.lower_bound(seq), "load_next");
  if (!random_.chance(20)) return;
  const std::string subject = subject_of(random_.u64());
  uint64_t count = 0;
  auto first = model.messages.end();
  auto last = model.messages.end();
  auto next = model.messages.end();
  for (auto it = model.messages.begin(); it != model.messages.end(); ++it) {
    if (subject_of(it->second.nonce) != subject) continue;
    ++count;
    last = it;
    if (first == model.messages.end()) first = it;
    if (it->first >= seq && next == model.messages.end()) next = it;
  }
  same(stream.load_next(StreamSeq(seq), subject), next, "load_next with filter");
  same(stream.load_last(subject), last, "load_last");
  const auto state = stream.subject_state(subject);
  if ((state ? state->count : 0) != count) violated("subject_state counts wrongly");
  if (count > 0 && (state->first.value() != first->first || state->last.value() != last->first))
    violated("subject_state has wrong bounds");
  if (stream.count_matching(StreamSeq(0), subject) != count) violated("count_matching counts wrongly");
}

/// The disk is full for a while: removals go on, and appends again once there is space.
void StoreWorld::squeeze_space() {
  const bool was_full = std::exchange(full_, true);
  sim_.disk().set_capacity(sim_.disk().used_bytes() + random_.below(options_.reserve_bytes));
  for (uint64_t steps = random_.between(1, 20); steps > 0 && sim_.disk().powered(); --steps) {
    sim_.env().executor.post([this] { change_some(); });
    sim_.run_until([this] { return !sim_.disk().powered(); }, micros(random_.below(200'000)));
  }
  sim_.disk().set_capacity(kPlenty_bytes);
  if (sim_.disk().powered()) {
    const bool back = sim_.run_until(
        [this] { return !sim_.disk().powered() || store_->failed() || store_->writable().has_value(); }, 60s);
    if (!back) violated("space is back, but the store stays full");
    if (store_->failed() && sim_.disk().powered() && !was_full) violated("a full disk broke the store for good");
  }
  full_ = was_full;
}

}  // namespace sluice::simulate
