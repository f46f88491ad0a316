// The slow work of a FileStore: spare files, retiring journal files and thin segments, erasing, space.
#include <fmt/format.h>

#include <algorithm>

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
constexpr size_t kSpares = 2;             ///< recycled files kept; beyond that they are removed
constexpr auto kSpaceCheckEvery = std::chrono::milliseconds(200);
constexpr size_t kReadAhead_bytes = 256 * kKiB;
constexpr size_t kNear_bytes = 64 * kKiB;

/// Reads records of one file in rising order, with read-ahead where they lie close together.
class SourceReader {
 public:
  SourceReader(File& file, uint64_t size, uint64_t seed) : file_(file), size_(size), seed_(seed) {}
  /// nullopt: damaged.
  Result<std::optional<Record>> read(uint64_t offset) {
    const bool near = offset >= at_ && offset < at_ + bytes_.size() + kNear_bytes;
    if (auto s = need(offset, format::kRecordHeader, near ? kReadAhead_bytes : 4 * kKiB); !s) return std::unexpected(s.error());
    const size_t size = format::peek_record_size(view(offset));
    if (size == 0 || offset + size > size_) return std::optional<Record>();
    if (auto s = need(offset, size, near ? kReadAhead_bytes : size); !s) return std::unexpected(s.error());
    return format::decode_record(view(offset), seed_);
  }

 private:
  std::span<const std::byte> view(uint64_t offset) const {
    return std::span<const std::byte>(bytes_).subspan(std::min<size_t>(offset - at_, bytes_.size()));
  }
  Status need(uint64_t offset, size_t want, size_t read) {
    if (offset >= at_ && offset + want <= at_ + bytes_.size()) return {};
    bytes_.resize(std::max(want, read));
    at_ = offset;
    auto got = file_.read_at(offset, bytes_);
    if (!got) return std::unexpected(got.error());
    bytes_.resize(*got);
    return {};
  }
  File& file_;
  uint64_t size_;
  uint64_t seed_;
  uint64_t at_ = 0;
  std::vector<std::byte> bytes_;
};
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
  if (spares_.empty() && !no_space_) check_space();  // when full, the timer asks
  if (retire_ == nullptr) choose_retire();
}

// -- space

void FileStore::check_space() {
  if (checking_space_ || failure_ || closing_) return;
  checking_space_ = true;
  struct Look {
    uint64_t free_bytes = 0;
    bool made = false;
  };
  auto look = std::make_shared<Look>();
  const std::string spare =
      spares_.empty() ? fmt::format("{}/journal/spare-{:08}.jnl", options_.dir, take_file_number()) : "";
  background(
      [look, spare, &disk = env_.disk, dir = options_.dir, size = options_.journal_file_bytes]() -> Status {
        auto free_bytes = disk.free_bytes(dir);
        if (!free_bytes) return std::unexpected(free_bytes.error());
        look->free_bytes = *free_bytes;
        if (spare.empty()) return {};
        if (auto s = prewrite_file(disk, dir + "/journal", spare, size); !s) return s;
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
  if (made) spares_.push_back(spare);
  uint64_t total = 0;
  for (const auto& [number, file] : files_.all()) total += file->size;
  const bool over = options_.max_bytes != 0 && total > options_.max_bytes;
  const bool full = !result || free_bytes < options_.reserve_bytes || over;
  if (full != no_space_) {
    SLUICE_LOG(kLog, kWarn, "store {} dir={} free_bytes={}", full ? "refuses messages, disk full" : "accepts messages again",
               options_.dir, free_bytes);
  }
  if (!spares_.empty() || !full) journal_->retry();
  no_space_ = full || journal_->blocked();
  if (no_space_ && !closing_) space_timer_->start(kSpaceCheckEvery);
  if (retire_ == nullptr) maintain_soon();
}

// -- retiring

bool FileStore::may_retire_journal(const StoreFile& file) const {
  if (&file == journal_->current_or_null() || file.erases_pending != 0) return false;
  if (file.file == nullptr || file.full_commit > journal_->durable_commit()) return false;
  if (snapshot_source_) return true;
  return std::none_of(file.consumers.begin(), file.consumers.end(),
                      [&](uint64_t key) { return consumers_.contains(key); });
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
    } else if (file->erases_pending == 0 && file->live_bytes * 2 < file->message_bytes + (file->messages == 0 ? 1 : 0) &&
               thin_bytes + file->live_bytes <= options_.segment_max_bytes) {
      thin.push_back(number);
      thin_bytes += file->live_bytes;
    }
  }
  if (oldest != nullptr && may_retire_journal(*oldest) &&
      (full > kFullJournalFiles || (full > kDeadJournalFiles && oldest->live_messages == 0))) {
    begin_retire({oldest->number});
    return true;
  }
  if (thin.empty()) return false;
  begin_retire(std::move(thin));
  return true;
}

/// All live messages of a file. Its spans bound the search; what it holds of a stream lies close together.
void FileStore::plan_file(const StoreFile& file) {
  for (const auto& [id, span] : file.streams) {
    const auto stream = by_id_.find(id);
    if (stream == by_id_.end() || span.first > span.last) continue;
    const MessageIndex& index = stream->second->index();
    for (uint64_t s = index.next(span.first); s != 0 && s <= span.last; s = index.next(s + 1)) {
      const MessagePlace& place = *index.find(s);
      if (place.file == file.number) retire_->copy->items.push_back({id, s, place});
    }
  }
}

void FileStore::begin_retire(std::vector<uint64_t> sources) {
  retire_ = std::make_unique<Retire>();
  retire_->sources = std::move(sources);
  retire_->copy = std::make_shared<CopyJob>();
  CopyJob& job = *retire_->copy;
  job.dir = options_.dir + "/segments";
  job.store_id = store_id_;
  for (uint64_t number : retire_->sources) {
    const StoreFile& file = *files_.find(number);
    retire_->journal = file.is_journal;
    job.sources[number] = {file.path, file.size, file.seed};
    if (file.live_messages != 0) plan_file(file);
  }
  if (job.items.empty()) {
    state_again();
    return;
  }
  std::sort(job.items.begin(), job.items.end(), [](const auto& a, const auto& b) {
    return std::pair(a.stream, a.seq) < std::pair(b.stream, b.seq);
  });
  job.number = take_file_number();
  background([copy = retire_->copy, &disk = env_.disk] { return FileStore::copy(disk, *copy); },
             [this](Status result) { copied(result); });
}

/// Worker thread.
Status FileStore::copy(Disk& disk, CopyJob& job) {
  std::map<uint64_t, std::pair<std::unique_ptr<File>, std::unique_ptr<SourceReader>>> readers;
  for (const auto& [number, source] : job.sources) {
    auto file = disk.open(source.path, OpenMode::kRead);
    if (!file) return std::unexpected(file.error());
    auto reader = std::make_unique<SourceReader>(**file, source.size, source.seed);
    readers.emplace(number, std::pair(std::move(*file), std::move(reader)));
  }
  SegmentWriter writer(disk, job.dir, job.number, job.store_id);
  const auto write = [&]() -> Status {
    if (auto s = writer.begin(); !s) return s;
    for (auto& item : job.items) {
      auto record = readers.at(item.from.file).second->read(uint64_t{item.from.offset8} * 8);
      if (!record) return std::unexpected(record.error());
      const std::optional<Record>& r = *record;
      if (!r || r->type != RecordType::kMessage || r->stream != item.stream || r->seq != item.seq) continue;
      auto to = writer.add(*r);
      if (!to) return std::unexpected(to.error());
      item.to = *to;
    }
    return writer.finish();
  };
  if (auto s = write(); !s) {
    writer.abandon();
    return s;
  }
  job.path = writer.path();
  job.size = writer.size();
  return {};
}

void FileStore::copied(const Status& result) {
  if (failure_) return;
  if (!result) {
    if (result.error().code == Errc::kNoSpace) {
      retire_.reset();  // the old file stays; again when there is space
      no_space_ = true;
      space_timer_->start(kSpaceCheckEvery);
    } else {
      fail_store(result.error());
    }
    return;
  }
  move_index();
  state_again();
}

/// The copies are on disk: those still alive are read from there from now on.
void FileStore::move_index() {
  CopyJob& job = *retire_->copy;
  StoreFile& segment = files_.add(job.number, false, job.path);
  segment.size = job.size;
  segment.seed = format::file_seed(store_id_, job.number);
  for (const auto& item : job.items) {
    const auto stream = by_id_.find(item.stream);
    if (item.to != 0) {
      segment.streams[item.stream].widen(item.seq);
      ++segment.messages;
      segment.message_bytes += item.from.accounted_bytes;
      copied_bytes_ += item.from.accounted_bytes;
    }
    if (stream == by_id_.end()) continue;
    MessagePlace* place = stream->second->index().find(item.seq);
    if (place == nullptr || !place->same_place(item.from)) continue;
    if (item.to == 0) {
      (void)stream->second->load(StreamSeq(item.seq));  // finds the damage itself and gives the message up
      continue;
    }
    StoreFile* old = files_.find(place->file);
    --old->live_messages;
    old->live_bytes -= place->accounted_bytes;
    place->file = static_cast<uint32_t>(job.number);
    place->offset8 = static_cast<uint32_t>(item.to / 8);
    ++segment.live_messages;
    segment.live_bytes += place->accounted_bytes;
  }
  for (const auto& [id, seq] : retire_->erase_too) {
    for (const auto& item : job.items) {
      if (item.stream != id || item.seq != seq || item.to == 0) continue;
      MessagePlace place = item.from;
      place.file = static_cast<uint32_t>(job.number);
      place.offset8 = static_cast<uint32_t>(item.to / 8);
      erase_bytes(place);
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
    if (span.states_facts) {
      std::vector<StreamSpan> elsewhere;
      for (const auto& [number, other] : files_.all()) {
        if (number == file.number) continue;
        if (const auto its = other->streams.find(id); its != other->streams.end() && !other->is_journal) {
          elsewhere.push_back(its->second);
        }
      }
      stream.state_gaps(elsewhere);
    }
    if (span.states_facts || stream.meta_file() == file.number || stream.last_file() == file.number) stream.state_meta();
  }
  for (uint32_t id : file.deleted_streams) {
    const bool matters = std::any_of(files_.all().begin(), files_.all().end(), [&](const auto& other) {
      return other.first != file.number && other.second->streams.contains(id);
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
    if (!snapshot.empty()) write_consumer(RecordType::kConsumerSnapshot, key, snapshot);
  }
}

void FileStore::recycle() {
  if (failure_ || closing_ || retire_ == nullptr) return;
  for (uint64_t number : retire_->sources) {
    retire_->waits_for_erase = files_.find(number)->erases_pending != 0;
    if (retire_->waits_for_erase) return;
  }
  struct Move {
    std::string from;
    std::string to;
  };
  std::vector<Move> moves;
  size_t spares = spares_.size();
  for (uint64_t number : retire_->sources) {
    StoreFile& file = *files_.find(number);
    const bool keep = file.is_journal && file.size == options_.journal_file_bytes && spares < kSpares;
    if (keep) ++spares;
    moves.push_back({file.path, keep ? fmt::format("{}/journal/spare-{:08}.jnl", options_.dir, take_file_number()) : ""});
    file.file.reset();
  }
  const std::string dir = options_.dir + (retire_->journal ? "/journal" : "/segments");
  background(
      [moves, dir, &disk = env_.disk]() -> Status {
        for (const Move& move : moves) {
          if (auto s = move.to.empty() ? disk.remove(move.from) : disk.rename(move.from, move.to); !s) return s;
        }
        return disk.sync_dir(dir);
      },
      [this, moves](Status result) {
        for (const Move& move : moves) {
          if (result && !move.to.empty()) spares_.push_back(move.to);
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
  if (no_space_) check_space();
  maintain_soon();
}

// -- erasing

void FileStore::erase_bytes(const MessagePlace& place) {
  StoreFile* file = files_.find(place.file);
  if (file == nullptr) return;
  const uint64_t offset = uint64_t{place.offset8} * 8;
  auto record = read_record(place.file, offset);
  if (!record) return;
  if (retire_ != nullptr && retire_->copy->number != 0 && retire_->copy->sources.contains(place.file)) {
    retire_->erase_too.emplace_back(record->record.stream, record->record.seq);
  }
  ++file->erases_pending;
  when_synced(journal_->commit(), [this, number = file->number, offset] {
    // The batch with the removal is on disk; the next one says so, after which the removed
    // message's batch may differ from its checksum.
    if (failure_ || closing_) return;
    journal_->append(Record{});
    when_synced(journal_->commit(), [this, number, offset] { erase_now(number, offset); });
  });
}

void FileStore::erase_now(uint64_t number, uint64_t offset) {
  StoreFile* file = files_.find(number);
  auto read = read_record(number, offset);
  if (file == nullptr || failure_) return;
  const auto done = [this, number] {
    if (StoreFile* still = files_.find(number)) --still->erases_pending;
    if (retire_ != nullptr && retire_->waits_for_erase) recycle();
    maintain_soon();
  };
  if (!read) {
    done();
    return;
  }
  const Record& old = read->record;
  Record blank;
  blank.type = RecordType::kErased;
  blank.batch = old.batch;
  blank.stream = old.stream;
  blank.seq = old.seq;
  const std::string zeros(format::record_size(old) - format::kRecordHeader, '\0');
  blank.payload = zeros;
  auto bytes = std::make_shared<std::vector<std::byte>>(format::record_size(blank));
  format::encode_record(bytes->data(), bytes->size(), blank, file->seed);
  if (std::byte* memory = journal_->in_memory(*file, offset)) std::copy(bytes->begin(), bytes->end(), memory);
  cache_.forget(number);
  background(
      [bytes, offset, path = file->path, &disk = env_.disk]() -> Status {
        auto opened = disk.open(path, OpenMode::kReadWrite);
        if (!opened) return std::unexpected(opened.error());
        if (auto s = (*opened)->write_at(offset, *bytes); !s) return s;
        return (*opened)->sync();
      },
      [this, done](Status result) {
        if (!result) fail_store(result.error());
        done();
      });
}

}  // namespace sluice
