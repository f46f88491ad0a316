// The slow work of a FileStore: spare files, retiring journal files and thin segments, space.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "store/file_store.h"
#include "store/segment.h"

namespace sluice {

using format::Record;
using format::RecordType;

namespace {
constexpr Logger kLog{"store"};
constexpr size_t kFullJournalFiles = 3;   ///< kept whatever lives in them
constexpr size_t kDeadJournalFiles = 1;   ///< kept although nothing lives in them
constexpr size_t kMostJournalsAtOnce = 8;
constexpr uint64_t kLeastJournalFiles = 8;  ///< that the journal may grow to whatever its limit says
constexpr size_t kSpares = 2;             ///< recycled files kept for good
constexpr uint64_t kMostSpares = 16;      ///< kept while the store is under load
constexpr auto kSpareKept = std::chrono::minutes(1);  ///< one of them goes when none was needed for so long
constexpr size_t kMostMemoryKept = 2;  ///< pieces of a journal file's size
constexpr auto kMemoryKept = std::chrono::seconds(5);
constexpr auto kSpaceCheckEvery = std::chrono::milliseconds(200);
}  // namespace

void FileStore::maintain_soon() {
  if (maintain_posted_ || failure_) return;
  maintain_posted_ = true;
  env_.executor.post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    maintain_posted_ = false;
    maintain();
  });
}

void FileStore::background(std::move_only_function<Status()> work, std::move_only_function<void(Status)> done) {
  ++background_jobs_;
  worker_->submit(std::move(work), [this, done = std::move(done)](Status result) mutable {
    --background_jobs_;
    done(std::move(result));
    close_step();
  });
}

void FileStore::maintain() {
  if (failure_ || closing_) return;
  if ((needs_spare() || std::exchange(spare_taken_, false)) && no_space_.empty()) check_space();  // when full, the timer asks
  if (retire_ == nullptr) choose_retire();
  bound_journal();
}

// -- space

/// Whether a file is to be written in advance. When retiring is behind none is: it will give files back, and until then the
/// journal makes its files itself, which costs the disk nothing but their names.
bool FileStore::needs_spare() const {
  return spares_.empty() && wiping_.empty() && full_journals() <= kFullJournalFiles;
}

size_t FileStore::full_journals() const {
  return static_cast<size_t>(std::count_if(files_.all().begin(), files_.all().end(), [&](const auto& entry) {
    return entry.second->is_journal && !entry.second->leaving && entry.second.get() != journal_->current_or_null();
  }));
}

/// What a burst made is used by the next one: with the files in use as many as the journal may have.
size_t FileStore::most_spares() const {
  const uint64_t most = std::max(options_.journal_max_bytes / options_.journal_file_bytes, kLeastJournalFiles);
  const uint64_t used = full_journals() + 1;
  return std::clamp<uint64_t>(most > used ? most - used : 0, kSpares, kMostSpares);
}

/// The oldest beyond those that are kept for good, at most `count`.
void FileStore::drop_spares(size_t count) {
  count = std::min(count, spares_.size() > kSpares ? spares_.size() - kSpares : 0);
  if (count == 0 || !erasing_.empty()) return;
  std::vector<std::string> paths;
  for (size_t i = 0; i < count; ++i) paths.push_back(spares_[i].path);
  spares_.erase(spares_.begin(), spares_.begin() + static_cast<std::ptrdiff_t>(count));
  background(
      [paths, &disk = env_.disk]() -> Status {
        for (const std::string& path : paths) {
          if (auto s = disk.remove(path); !s) return s;
        }
        return {};
      },
      [this](const Status& result) {
        if (!result) fail_store(result.error());
      });
}

/// Under load the files come and go; at rest they are given back one by one.
void FileStore::spares_at_rest() {
  if (failure_ || closing_) return;
  if (!std::exchange(spare_needed_, false)) drop_spares(1);
  if (spares_.size() > kSpares) spare_timer_->start(kSpareKept);
}

/// What retirements read into is kept while one follows the other.
void FileStore::memory_at_rest() {
  if (closing_ || retire_memory_ == nullptr) return;
  if (retire_ != nullptr) return memory_timer_->start(kMemoryKept);
  background(
      [memory = std::exchange(retire_memory_, nullptr)]() -> Status {
        memory->clear();
        return {};
      },
      [](const Status&) {});
}

void FileStore::wait_for_space() {
  set_no_space(disk_full());
  if (!closing_) space_timer_->start(kSpaceCheckEvery);
}

void FileStore::check_space() {
  if (checking_space_ || failure_ || closing_) return;
  checking_space_ = true;
  struct Look {
    uint64_t free_bytes = 0;
    bool made = false;
  };
  auto look = std::make_shared<Look>();
  const std::string spare =
      needs_spare() ? fmt::format("{}/journal/spare-{:08}.jnl", options_.dir, take_file_number()) : "";
  background(
      [look, spare, &disk = env_.disk, dir = options_.dir, size = options_.journal_file_bytes]() -> Status {
        auto free_bytes = disk.free_bytes(dir);
        if (!free_bytes) return std::unexpected(free_bytes.error());
        look->free_bytes = *free_bytes;
        if (spare.empty()) return {};
        if (auto s = prewrite_file(disk, dir + "/journal", spare, size, Prewrite::kAmidCommits); !s) return s;
        look->made = true;
        return {};
      },
      [this, look, spare](Status result) { space_checked(result, look->free_bytes, spare, look->made); });
}

void FileStore::space_checked(const Status& result, uint64_t free_bytes, const std::string& spare, bool made) {
  checking_space_ = false;
  if (!result && result.error().code != Errc::kNoSpace) {
    fail_store(result.error());
    return;
  }
  if (made) {
    prewritten_bytes_ += options_.journal_file_bytes;
    spares_.push_back({spare, {}});
  }
  uint64_t total = 0;
  for (const auto& [number, file] : files_.all()) total += file->size;
  for (const IdFile& file : id_files_) total += file.size;
  const bool over = options_.max_bytes != 0 && total > options_.max_bytes;
  if (over || free_bytes < options_.reserve_bytes) {
    const size_t before = spares_.size();
    drop_spares(before);
    free_bytes += (before - spares_.size()) * options_.journal_file_bytes;
  }
  const bool full = !result || free_bytes < options_.reserve_bytes || over;
  if (!spares_.empty() || !full) journal_->retry();
  if (over) {
    set_no_space(fmt::format("the store in {} has {} bytes and may have {} (store.max_size): raise it, or remove messages", options_.dir,
                             total, options_.max_bytes));
  } else if (full || journal_->blocked()) {
    set_no_space(free_bytes < options_.reserve_bytes
                     ? fmt::format("the disk of {} has {} bytes free, of which {} are kept back (store.reserve): make room", options_.dir,
                                   free_bytes, options_.reserve_bytes)
                     : disk_full());
  } else {
    set_no_space({});
  }
  if (!full) {
    for (const uint64_t erasing : std::exchange(erasures_waiting_, {})) erase_now(erasing);
    wipe_again();
  }
  if (!no_space_.empty() && !closing_) space_timer_->start(kSpaceCheckEvery);
  if (retire_ == nullptr) maintain_soon();
}

std::string FileStore::disk_full() const { return fmt::format("the disk of {} is full: make room", options_.dir); }

void FileStore::set_no_space(std::string why) {
  const bool was = !no_space_.empty(), full = !why.empty();
  no_space_ = std::move(why);
  if (was == full) return;
  const char* what = full ? "store refuses messages" : "store accepts messages again";
  SLUICE_LOG(kLog, kWarn, "{} dir={} why=\"{}\"", what, options_.dir, no_space_);
  tell({full ? StoreEvent::Kind::kNoSpace : StoreEvent::Kind::kSpace, "", StreamSeq(0), full ? no_space_ : what});
}

// -- retiring

/// Commits wait while a retirement is under way and the journal is too long: appending is no faster than retiring then.
void FileStore::bound_journal() {
  uint64_t bytes = 0;
  for (const auto& [number, file] : files_.all()) {
    if (file->is_journal && file.get() != journal_->current_or_null()) bytes += file->size;
  }
  journal_->hold(retire_ != nullptr && bytes > std::max(options_.journal_max_bytes, kLeastJournalFiles * options_.journal_file_bytes));
}

bool FileStore::may_retire_journal(const StoreFile& file) const {
  if (&file == journal_->current_or_null() || file.erases_pending != 0) return false;
  if (file.file == nullptr || file.full_commit > journal_->durable_commit()) return false;
  if (snapshot_source_) return true;
  return std::none_of(file.consumers.begin(), file.consumers.end(),
                      [&](uint64_t key) { return consumers_.contains(key); });
}

/// Thin, of an older format, or without an index of its own. One without any readable message is left alone.
bool FileStore::worth_rewriting(const StoreFile& segment) {
  if (segment.messages == 0) return false;
  return segment.live_bytes * 2 < segment.message_bytes || segment.live_messages == 0 || !segment.shape->trailer || segment.damaged;
}

/// The oldest journal file, and those after it that are due as well: when retiring is behind, several go in one step.
std::vector<uint64_t> FileStore::oldest_journals(size_t full) const {
  std::vector<uint64_t> chosen;
  uint64_t live_bytes = 0;
  for (const auto& [number, file] : files_.all()) {
    if (!file->is_journal) continue;
    live_bytes += file->live_bytes;
    const bool more = full > kFullJournalFiles && chosen.size() < kMostJournalsAtOnce && live_bytes <= options_.segment_max_bytes;
    if (!chosen.empty() && (!more || !may_retire_journal(*file))) break;
    chosen.push_back(number);
    --full;
  }
  return chosen;
}

bool FileStore::choose_retire() {
  const StoreFile* oldest = nullptr;
  size_t full = 0;
  std::vector<uint64_t> thin;
  uint64_t thin_bytes = 0;
  for (const auto& [number, file] : files_.all()) {
    if (file->is_journal) {
      if (file.get() == journal_->current_or_null()) continue;
      ++full;
      if (oldest == nullptr) oldest = file.get();
    } else if (file->erases_pending == 0 && worth_rewriting(*file) &&
               (thin.empty() || thin_bytes + file->live_bytes <= options_.segment_max_bytes)) {
      thin.push_back(number);
      thin_bytes += file->live_bytes;
    }
  }
  if (oldest != nullptr && may_retire_journal(*oldest) &&
      (full > kFullJournalFiles || (full > kDeadJournalFiles && oldest->live_messages == 0))) {
    begin_retire(oldest_journals(full));
    return true;
  }
  if (thin.empty()) return false;
  begin_retire(std::move(thin));
  return true;
}

/// What of a file's streams lives.
void FileStore::plan_file(StoreFile& file) {
  const auto plan = [&](uint32_t id, uint64_t first, uint64_t last) {
    const auto stream = by_id_.find(id);
    if (stream != by_id_.end() && first <= last) stream->second->plan_copy(*retire_->copy, first, last);
  };
  for (const auto& [id, span] : file.streams) plan(id, span.first, span.last);
  for (const SegmentPart& part : file.parts) {
    if (part.live != 0) plan(part.stream, part.first, part.last);
  }
}

/// Whether removals that stand in a journal file concern any segment.
bool FileStore::facts_matter(const StoreFile& file) const {
  return std::any_of(file.streams.begin(), file.streams.end(), [&](const auto& entry) {
    return entry.second.states_facts && by_id_.contains(entry.first) &&
           std::any_of(files_.all().begin(), files_.all().end(),
                       [&](const auto& other) { return !other.second->is_journal && other.second->holds(entry.first); });
  });
}

/// Sees to it that ids within their stream's duplicate window are kept when the file goes. @return whether there may be any.
bool FileStore::plan_ids(const StoreFile& file) {
  bool any = false;
  const WallNanos now = env_.clock.wall();
  const auto plan = [&](uint32_t id, WallNanos newest) {
    const auto stream = by_id_.find(id);
    if (stream == by_id_.end() || stream->second->id_window().count() <= 0) return;
    const WallNanos since = now - stream->second->id_window().count();
    if (newest < since || stream->second->newest_id() < since) return;
    retire_->copy->ids_since[id] = since;
    any = true;
  };
  for (const auto& [id, span] : file.streams) plan(id, file.ids_until);
  for (const SegmentPart& part : file.parts) plan(part.stream, part.last_time);
  return any;
}

/// Files of ids that every window has passed.
void FileStore::drop_old_ids() {
  const WallNanos now = env_.clock.wall();
  std::vector<std::string> old;
  std::erase_if(id_files_, [&](const IdFile& file) {
    const bool needed = std::any_of(file.streams.begin(), file.streams.end(), [&](const auto& entry) {
      const auto stream = by_id_.find(entry.first);
      return stream != by_id_.end() && file.newest >= now - stream->second->id_window().count();
    });
    if (!needed) old.push_back(file.path);
    return !needed;
  });
  if (old.empty()) return;
  background(
      [old, &disk = env_.disk]() -> Status {
        for (const std::string& path : old) {
          if (auto s = disk.remove(path); !s) return s;
        }
        return {};
      },
      [](const Status& result) {
        if (!result) SLUICE_LOG(kLog, kWarn, "a file of ids could not be removed error={}", result.error().detail);
      });
}

void FileStore::begin_retire(std::vector<uint64_t> sources) {
  retire_ = std::make_unique<Retire>();
  retire_->sources = std::move(sources);
  retire_->copy = std::make_shared<CopyJob>();
  CopyJob& job = *retire_->copy;
  job.dir = options_.dir + "/segments";
  job.store_id = store_id_;
  job.keys = options_.keys;
  bool facts = false;
  for (uint64_t number : retire_->sources) {
    StoreFile& file = *files_.find(number);
    retire_->journal = file.is_journal;
    uint64_t size = file.is_journal ? file.used : file.size;
    if (file.shape != nullptr && file.shape->trailer) size = format::kBlock + file.shape->trailer->record_bytes;
    job.sources.push_back({number, file.path, size, file.seed, file.is_journal, file.end_batch});
    retire_->expected += file.live_messages;
    if (file.live_messages != 0) plan_file(file);
    facts |= file.is_journal && facts_matter(file);
  }
  bool ids = false;
  for (uint64_t number : retire_->sources) ids |= plan_ids(*files_.find(number));
  if (ids) job.ids_number = take_file_number();
  if (retire_->expected == 0 && !facts && !ids) {
    drop_sources();
    retire_->adopted = true;
    state_again();
    return;
  }
  job.number = take_file_number();
  if (retire_memory_ == nullptr) retire_memory_ = std::make_shared<LargeMemoryStock>(kMostMemoryKept);
  job.memory = retire_memory_;
  memory_timer_->start(kMemoryKept);
  background([copy = retire_->copy, &disk = env_.disk] { return run_copy(disk, *copy); },
             [this](Status result) { copied(result); });
}

void FileStore::copied(const Status& result) {
  if (failure_) return;
  if (!result) {
    if (result.error().code == Errc::kNoSpace) {
      // The old file stays; again when there is space.
      const std::vector<uint64_t> erasures = std::move(retire_->erase_after);
      retire_.reset();
      for (const uint64_t erasing : erasures) erase_now(erasing);
      wait_for_space();
    } else {
      fail_store(result.error());
    }
    return;
  }
  adopt_segment();
  state_again();
}

/// The copies are on disk: those still alive are read from there from now on.
void FileStore::adopt_segment() {
  CopyJob& job = *retire_->copy;
  StoreFile none;
  StoreFile& segment = job.made ? files_.add(job.number, false, job.path) : none;
  segment.number = job.number;
  segment.size = job.size;
  segment.seed = format::file_seed(store_id_, job.number);
  segment.version = options_.keys == nullptr ? format::kVersion : format::kSealedVersion;
  segment.shape = job.shape;
  if (job.made) segment.take_parts(job.summary);
  copied_bytes_ += job.accounted_bytes;
  segment_written_bytes_ += job.made ? job.size : 0;
  if (job.ids) {
    ids_bytes_ += job.ids->size;
    id_files_.push_back(std::move(*job.ids));
  }
  if (job.entries.size() == retire_->expected) {
    for (SegmentPart& part : segment.parts) {
      const auto dropped = retire_->dropped.find(part.stream);
      if (dropped == retire_->dropped.end()) continue;
      part.live -= std::min(part.live, dropped->second.messages);
      part.live_bytes -= std::min(part.live_bytes, dropped->second.bytes);
    }
  } else {
    compare_copy(segment);
  }
  for (const SegmentPart& part : segment.parts) {
    segment.live_messages += part.live;
    segment.live_bytes += part.live_bytes;
  }
  move_index(segment);
  for (uint64_t number : retire_->sources) {
    StoreFile& source = *files_.find(number);
    source.live_messages = 0;
    source.live_bytes = 0;
    for (SegmentPart& part : source.parts) part.live = 0;
  }
  retire_->adopted = true;
  for (const uint64_t erasing : std::exchange(retire_->erase_after, {})) erase_now(erasing);
}

/// The copy does not hold what was expected: messages whose bytes are gone, or which a crash left in two files.
void FileStore::compare_copy(StoreFile& segment) {
  CopyJob& job = *retire_->copy;
  for (const auto& [id, alive] : job.alive) {
    const auto stream = by_id_.find(id);
    if (stream == by_id_.end()) continue;
    MessageIndex& index = stream->second->index();
    for (uint64_t s = index.next(alive.first); s != 0 && s <= alive.last; s = index.next(s + 1)) {
      if (!job.copies(index.find(s)->file) || job.find(id, s) != nullptr) continue;
      stream->second->give_up(s, Error{Errc::kCorrupt, 0, "its record is not readable in the file that is retired"});
    }
  }
  for (SegmentPart& part : segment.parts) part.live = 0, part.live_bytes = 0;
  for (const SegmentEntry& e : job.entries) {
    const auto stream = by_id_.find(e.stream);
    MessagePlace* place = stream == by_id_.end() ? nullptr : stream->second->index().find(e.at.seq);
    if (place == nullptr) continue;
    SegmentPart& part = *segment.part_of(e.stream);
    ++part.live;
    part.live_bytes += e.at.accounted_bytes;
    if (job.copies(place->file)) continue;
    const MessagePlace old = *place;
    place->file = static_cast<uint32_t>(job.number);
    place->offset8 = static_cast<uint32_t>(e.at.offset / 8);
    place_dropped(e.stream, old);
  }
}

void FileStore::move_index(const StoreFile& segment) {
  const CopyJob& job = *retire_->copy;
  for (const SegmentPart& part : segment.parts) {
    if (const auto stream = by_id_.find(part.stream); stream != by_id_.end()) stream->second->add_segment(job.number);
  }
  drop_sources();
  for (const auto& [id, alive] : job.alive) {
    if (const auto stream = by_id_.find(id); stream != by_id_.end()) stream->second->moved(job, alive.first, alive.last);
  }
}

/// No stream looks for its messages in the files that leave any more: soon they can't be read.
void FileStore::drop_sources() {
  for (uint64_t number : retire_->sources) {
    for (const SegmentPart& part : files_.find(number)->parts) {
      if (const auto stream = by_id_.find(part.stream); stream != by_id_.end()) stream->second->drop_segment(number);
    }
  }
}

/// What stands only in a journal file is written again before the file goes.
void FileStore::state_again() {
  if (retire_->journal) {
    for (uint64_t number : retire_->sources) state_file_again(*files_.find(number));
  }
  when_synced(journal_->commit(), [this] { recycle(); });
}

void FileStore::state_file_again(StoreFile& file) {
  for (const auto& [id, span] : file.streams) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) continue;
    FileStream& stream = *found->second;
    if (span.states_facts) state_removals(file.number, stream);
    if (span.states_facts || stream.meta_file() == file.number || stream.last_file() == file.number) stream.state_meta();
  }
  for (uint32_t id : file.deleted_streams) {
    const bool matters = std::any_of(files_.all().begin(), files_.all().end(), [&](const auto& other) {
      return other.first != file.number && other.second->holds(id);
    });
    if (!matters) continue;
    Record r;
    r.type = RecordType::kStreamDelete;
    r.stream = id;
    journal_->append(r).file->deleted_streams.insert(id);
  }
  for (uint64_t key : file.consumers) {
    const auto found = consumers_.find(key);
    if (found == consumers_.end()) continue;
    if (found->second.meta_file == file.number) write_consumer_meta(key, found->second);
    const std::string snapshot = snapshot_source_ ? snapshot_source_(ConsumerKey(key)) : std::string();
    if (!snapshot.empty()) {
      write_consumer(RecordType::kConsumerSnapshot, key, snapshot);
    } else if (const auto& kept = found->second.recovered; kept) {
      // Nobody has opened it since the start (its account, say, is not configured): as it was found.
      if (!kept->snapshot.empty())
        write_consumer(RecordType::kConsumerSnapshot, key, kept->snapshot);
      for (const std::string& delta : kept->deltas)
        write_consumer(RecordType::kConsumerDelta, key, delta);
    }
  }
}

/// The removals that stand in a leaving journal file, as far as another file still holds the messages.
void FileStore::state_removals(uint64_t number, FileStream& stream) {
  std::vector<StreamSpan> elsewhere;
  for (const auto& [other, file] : files_.all()) {
    if (file->is_journal || other == number) continue;
    const SegmentPart* part = file->part_of(stream.id());
    if (part == nullptr || part->last < stream.first()) continue;
    StreamSpan span;
    span.widen(part->first);
    span.widen(part->last);
    elsewhere.push_back(span);
  }
  if (elsewhere.empty()) return;
  const CopyJob& job = *retire_->copy;
  if (job.damaged || job.number == 0) return stream.state_gaps(elsewhere, nullptr);
  const auto removals = job.removals.find(stream.id());
  if (removals != job.removals.end()) stream.state_gaps(elsewhere, &removals->second);
}

void FileStore::recycle() {
  if (failure_ || closing_ || retire_ == nullptr) return;
  for (uint64_t number : retire_->sources) {
    retire_->waits_for_erase = files_.find(number)->erases_pending != 0;
    if (retire_->waits_for_erase) return;
  }
  struct Move {
    uint64_t number;
    std::string from;
    std::string to;
    bool wipe = false;  ///< once it is out of the way of a recovery
  };
  std::vector<Move> moves;
  size_t spares = spares_.size() + wiping_.size();
  for (uint64_t number : retire_->sources) {
    StoreFile& file = *files_.find(number);
    file.leaving = true;
    const bool keep = file.is_journal && file.size == options_.journal_file_bytes && spares < most_spares();
    const bool wipe = !keep && must_wipe(file);
    if (keep) ++spares;
    std::string to = keep ? fmt::format("{}/journal/spare-{:08}.jnl", options_.dir, take_file_number()) : "";
    moves.push_back({number, file.path, wipe ? file.path + ".wipe" : std::move(to), wipe});
    file.file.reset();
  }
  const std::string dir = options_.dir + (retire_->journal ? "/journal" : "/segments");
  background(
      [moves, dir, &disk = env_.disk]() -> Status {
        for (const Move& move : moves) {
          if (auto s = move.to.empty() ? disk.remove(move.from) : disk.rename(move.from, move.to); !s) return s;
          // The oldest goes first for certain: a newer one holds the removals of what stands in it.
          if (auto s = disk.sync_dir(dir); !s) return s;
        }
        return {};
      },
      [this, moves](Status result) {
        for (const Move& move : moves) {
          if (!result || move.to.empty()) continue;
          StoreFile& file = *files_.find(move.number);
          if (move.wipe) {
            wipe_and_remove(move.to);
            continue;
          }
          file.leftovers.used(file.used, file.streams);
          keep_spare(move.to, file.tail == file.size ? Leftovers::unknown() : std::move(file.leftovers));
        }
        recycled(result);
      });
}

void FileStore::recycled(const Status& result) {
  if (failure_) return;
  if (!result) {
    fail_store(result.error());
    return;
  }
  for (uint64_t number : retire_->sources) {
    ++retired_files_;
    cache_.forget(number);
    files_.erase(number);
  }
  retire_.reset();
  if (spares_.size() > kSpares && !spare_timer_->active()) spare_timer_->start(kSpareKept);
  finish_erasures();
  drop_old_ids();
  bound_journal();
  if (!no_space_.empty()) check_space();
  maintain_soon();
}

}  // namespace sluice
