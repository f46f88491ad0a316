#include "store/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"store"};
constexpr size_t kMarkBytes = 16;
constexpr size_t kZeroStep_bytes = 256 * kKiB;
constexpr size_t kRangesJoined = 32;  ///< in one removal: its checksum is made again for each

/// Room that the high-water record of a batch touching `streams` streams takes.
size_t high_water_bytes(size_t streams) { return format::kRecordHeader + kMarkBytes * streams; }

/// An empty file of `size` bytes, on disk but for its name.
Status allocate_file(Disk& disk, const std::string& path, uint64_t size) {
  const auto make = [&]() -> Status {
    auto file = disk.open(path, OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    if (auto s = (*file)->truncate(0); !s) return s;
    if (auto s = (*file)->allocate(size); !s) return s;
    return (*file)->sync();
  };
  Status result = make();
  if (!result) (void)disk.remove(path);
  return result;
}

}  // namespace

Journal::Journal(Env& env, const StoreOptions& options, uint64_t store_id, FileTable& files, JournalOwner& owner)
    : env_(env), options_(options), store_id_(store_id), files_(files), owner_(owner),
      sealer_(options.keys == nullptr ? nullptr : std::make_unique<Sealer>(options.keys)),
      window_bytes_(format::align_block(std::clamp<size_t>(options.cache_bytes / 16, 64 * kKiB, 4 * kMiB))),
      worker_(env.disk_workers.make("store-commit")) {}

void Journal::start(uint64_t next_batch, uint64_t commit) {
  SLUICE_CHECK(current_ == nullptr);
  batch_ = next_batch;
  written_batch_ = synced_batch_ = next_batch - 1;
  commit_ = durable_commit_ = synced_commit_ = commit;
}

/// A new file, large enough for a batch with one record of `record_size`.
void Journal::open_file(size_t record_size) {
  const uint64_t number = owner_.take_file_number();
  const uint64_t need = format::align_block(format::kBatchHeader + record_size + high_water_bytes(1)) + format::kBlock;
  const bool first = current_ == nullptr;
  if (!first) {
    current_->full_commit = commit_;
    current_->used = current_->tail = file_end_;
  }
  rotating_ = false;
  StoreFile& file = files_.add(number, true, fmt::format("{}/journal/{:08}.jnl", options_.dir, number));
  file.size = std::max(format::align_block(options_.journal_file_bytes), need);
  current_ = &file;
  seed_ = file.seed = format::file_seed(store_id_, number);
  file_first_batch_ = batch_;
  file_end_ = format::kBlock;
  window_ = nullptr;
  if (!first) owner_.journal_rotated();
}

void Journal::open_window(size_t record_size) {
  const size_t need = format::align_block(format::kBatchHeader + record_size + high_water_bytes(1));
  evict();
  window_ = std::make_shared<Window>(std::max(window_bytes_, need));
  window_->file_offset = file_end_;
  current_->windows.push_back(window_);
  tail_.emplace_back(current_->number, window_);
  figures_.tail_bytes += window_->capacity;
}

/// Drops the oldest written windows beyond three quarters of the cache.
void Journal::evict() {
  const uint64_t budget = options_.cache_bytes / 4 * 3;
  while (tail_.size() > 1 && figures_.tail_bytes + window_bytes_ > budget) {
    auto& [number, window] = tail_.front();
    if (window->last_batch > written_batch_ || window == window_) return;
    figures_.tail_bytes -= window->capacity;
    if (StoreFile* file = files_.find(number)) {
      std::erase(file->windows, window);
    }
    tail_.pop_front();
  }
}

void Journal::begin_batch() {
  batch_at_ = window_->used;
  batch_end_ = batch_at_ + format::kBatchHeader;
  batch_count_ = 0;
  marks_.clear();
}

/// Whether a batch gathers that has room for `bytes` more of records.
bool Journal::has_room(size_t bytes) const {
  const size_t room = bytes + high_water_bytes(marks_.size() + 1);
  return batch_end_ != 0 && batch_end_ + room <= window_->capacity &&
         window_->file_offset + format::align_block(batch_end_ + room) <= current_->size;
}

/// Sees to it that the batch at hand has room for `bytes` of records; ends it and begins another if not.
void Journal::make_room(size_t bytes) {
  if (has_room(bytes)) return;
  SLUICE_CHECK(together_batch_ == 0);
  seal();
  const size_t fresh = format::align_block(format::kBatchHeader + bytes + high_water_bytes(1));
  if (current_ == nullptr || rotating_ || file_end_ + fresh > current_->size) open_file(bytes);
  if (window_ == nullptr || window_->used + fresh > window_->capacity) open_window(bytes);
  begin_batch();
}

void Journal::keep_together(size_t bytes) {
  make_room(bytes + kMarkBytes);  // each append asks for one more mark than there is
  together_batch_ = batch_;
}

void Journal::end_together() {
  SLUICE_CHECK(together_batch_ == batch_);
  together_batch_ = 0;
}

Journal::Written Journal::append(format::Record record, HighWaterMark* mark, uint64_t last_seq, bool must_sync) {
  record.sealed = sealer_ != nullptr && format::is_sealable(record.type);
  record.is_short = format::fits_short(record);
  const size_t size = format::record_size(record);
  make_room(size);
  record.batch = static_cast<uint32_t>(batch_);
  std::byte* into = window_->bytes.get() + batch_end_;
  format::encode_record(into, size, record, seed_, sealer_.get());
  const Written written{current_, window_->file_offset + batch_end_};
  batch_end_ += size;
  window_->used = batch_end_;
  window_->last_batch = batch_;
  ++batch_count_;
  ++commit_;
  batch_must_sync_ |= must_sync;
  if (mark != nullptr) {
    if (mark->batch != batch_ || mark->slot >= marks_.size()) {
      mark->batch = batch_;
      mark->slot = marks_.size();
      marks_.emplace_back(record.stream, 0);
    }
    marks_[mark->slot].second = last_seq;
  }
  enlist();
  return written;
}

/// One range that grows, or one range more: a queue's removals would else take a third of what is written. A removal is
/// replayed where it stands, so it can only speak of messages that stand before it.
bool Journal::join_removal(const Removal& open, uint64_t seq, Written at, bool must_sync) {
  if (batch_end_ == 0 || open.batch != batch_) return false;
  if (at.file == current_ && at.offset >= open.offset) return false;
  std::byte* record = window_->bytes.get() + (open.offset - window_->file_offset);
  const size_t size = format::peek_record_size({record, window_->used - (open.offset - window_->file_offset)});
  auto removal = format::parse_record({record, size});
  SLUICE_CHECK(removal && removal->type == format::RecordType::kRemove && !removal->payload.empty());
  std::string ranges(removal->payload);
  format::SeqRange last = format::decode_range(ranges, ranges.size() - format::kRange);
  const bool grows = seq == last.last + 1 || seq + 1 == last.first;
  if (grows) {
    last = {std::min(last.first, seq), std::max(last.last, seq)};
    ranges.replace(ranges.size() - format::kRange, format::kRange, format::encode_range(last));
  } else {
    const bool is_newest = record + size == window_->bytes.get() + batch_end_;
    if (!is_newest || together_batch_ != 0 || ranges.size() >= kRangesJoined * format::kRange || !has_room(format::kRange)) return false;
    ranges += format::encode_range({seq, seq});
    batch_end_ += format::kRange;
    window_->used = batch_end_;
  }
  removal->payload = ranges;
  format::encode_record(record, format::record_size(*removal), *removal, seed_);
  batch_must_sync_ |= must_sync;
  ++commit_;
  return true;
}

/// Closes the batch that gathers: high-water record, padding, and a step for the next job.
void Journal::seal() {
  if (batch_end_ == 0) return;
  std::string pairs(marks_.size() * kMarkBytes, '\0');
  for (size_t i = 0; i < marks_.size(); ++i) {
    store_le64(pairs.data() + i * kMarkBytes, marks_[i].first);
    store_le64(pairs.data() + i * kMarkBytes + 8, marks_[i].second);
  }
  format::Record high;
  high.type = format::RecordType::kHighWater;
  high.batch = static_cast<uint32_t>(batch_);
  high.seq = batch_;
  high.time = batch_count_;
  high.payload = pairs;
  const size_t size = format::record_size(high);
  SLUICE_CHECK(batch_end_ + size <= window_->capacity);
  format::encode_record(window_->bytes.get() + batch_end_, size, high, seed_);
  batch_end_ += size;

  Step step;
  step.window = window_;
  step.at = batch_at_;
  step.padded = format::align_block(batch_end_ - batch_at_);
  step.file_offset = file_end_;
  std::memset(window_->bytes.get() + batch_end_, 0, batch_at_ + step.padded - batch_end_);
  step.commit = commit_;
  step.must_sync = std::exchange(batch_must_sync_, false);
  step.header.version = sealer_ == nullptr ? format::kVersion : format::kSealedVersion;
  step.header.store_id = store_id_;
  step.header.generation = current_->number;
  step.header.number = batch_;
  step.header.file_first_batch = file_first_batch_;
  step.header.length = batch_end_ - batch_at_;
  step.header.last_commit = commit_;
  step.header.count = batch_count_;
  owner_.fill_ids(step.header);
  if (batch_ == file_first_batch_) {
    step.opens_file = true;
    step.path = current_->path;
    step.file_size = current_->size;
  }
  window_->used = batch_at_ + step.padded;
  file_end_ += step.padded;
  SLUICE_CHECK(file_end_ <= current_->size);
  sealed_.push_back(std::move(step));
  ++batch_;
  batch_end_ = 0;
  marks_.clear();
}

void Journal::rotate() {
  SLUICE_CHECK(together_batch_ == 0);
  seal();
  rotating_ = current_ != nullptr;
}

uint64_t Journal::end_on_disk(const StoreFile& file) const {
  if (&file != current_ && file.full_commit <= synced_commit_) return file.tail;
  return file.number == synced_file_ ? synced_end_ : format::kBlock;
}

std::byte* Journal::in_memory(StoreFile& file, uint64_t offset) {
  const auto* window = file.window_at(offset);
  return window == nullptr ? nullptr : (*window)->bytes.get() + (offset - (*window)->file_offset);
}

void Journal::request_sync() {
  if (synced_commit_ == commit_ && !in_flight_ && sealed_.empty() && batch_end_ == 0) return;
  sync_wanted_ = true;
  enlist();
}

void Journal::enlist() {
  if (enlisted_ || failed_) return;
  enlisted_ = true;
  env_.executor.at_round_end(RoundPhase::kCommit, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    enlisted_ = false;
    flush();
  });
}

void Journal::flush() {
  if (in_flight_ || failed_ || waiting_ != nullptr) return;
  if (held_ && !sync_wanted_) {
    ++figures_.held;
    return;
  }
  seal();
  if (sealed_.empty() && !sync_wanted_) return;
  auto job = std::make_shared<Job>();
  job->journal_dir = options_.dir + "/journal";
  if (sealer_ != nullptr) job->key_id = sealer_->keys().keys.front().id;
  job->steps = std::exchange(sealed_, {});
  const bool wanted = std::exchange(sync_wanted_, false);
  job->sync = wanted || std::any_of(job->steps.begin(), job->steps.end(), [](const Step& s) { return s.must_sync; });
  for (Step& step : job->steps) step.header.durable = synced_batch_;
  if (!job->steps.empty() && !job->steps.front().opens_file) {
    job->file = files_.find(job->steps.front().header.generation)->file;
  }
  if (job->sync) job->to_sync = std::exchange(unsynced_, {});
  submit(std::move(job));
}

void Journal::submit(std::shared_ptr<Job> job) {
  for (size_t i = job->next; i < job->steps.size(); ++i) {
    Step& step = job->steps[i];
    if (step.opens_file && !step.opened && step.spare.empty() &&
        step.file_size == format::align_block(options_.journal_file_bytes)) {
      step.spare = owner_.take_spare(step.header.generation);
      if (step.spare.empty()) ++figures_.inline_files;
    }
  }
  in_flight_ = true;
  worker_->submit([job, &env = env_] { return run(env, *job); },
                  [this, job](Status result) { finished(job, result); });
}

/// Worker thread.
Status Journal::activate(Env& env, Job& job, Step& step) {
  if (step.spare.empty()) {
    // No spare is ready. Writing one here would hold up every acknowledgement for its 64 MiB (p99 of 1 KiB
    // publishes was seen at 475 ms); an allocated file only makes its own commits somewhat dearer.
    const std::string fresh = step.path + ".new";
    if (auto s = allocate_file(env.disk, fresh, step.file_size); !s) return s;
    step.spare = fresh;
  }
  if (!env.disk.exists(step.path)) {
    if (auto s = env.disk.rename(step.spare, step.path); !s) return s;
  }
  if (auto s = env.disk.sync_dir(job.journal_dir); !s) return s;
  auto file = env.disk.open(step.path, OpenMode::kReadWrite);
  if (!file) return std::unexpected(file.error());
  job.file = std::move(*file);
  std::vector<std::byte> block(format::kBlock);
  format::FileHeader header{format::kJournalMagic, step.header.version, step.header.store_id, step.header.generation,
                            step.header.file_first_batch, step.header.durable, job.key_id};
  format::encode_file_header(block.data(), header);
  if (auto s = job.file->write_at(0, block); !s) return s;
  job.opened.emplace_back(step.header.generation, job.file);
  step.opened = true;
  return {};
}

/// Worker thread.
Status Journal::run(Env& env, Job& job) {
  for (; job.next < job.steps.size(); ++job.next) {
    Step& step = job.steps[job.next];
    if (step.opens_file && !step.opened) {
      if (auto s = activate(env, job, step); !s) return s;
    }
    std::byte* bytes = step.window->bytes.get() + step.at;
    format::seal_batch({bytes, step.header.length}, step.header);
    if (auto s = job.file->write_at(step.file_offset, {bytes, step.padded}); !s) return s;
    job.written_bytes += step.padded;
    if (std::find(job.to_sync.begin(), job.to_sync.end(), job.file) == job.to_sync.end()) {
      job.to_sync.push_back(job.file);
    }
  }
  if (!job.sync) return {};
  for (const auto& file : job.to_sync) {
    if (auto s = file->sync(); !s) return fail(Errc::kIo, "fdatasync: " + s.error().detail);
  }
  return {};
}

void Journal::finished(const std::shared_ptr<Job>& job, const Status& result) {
  in_flight_ = false;
  for (auto& [number, file] : job->opened) {
    if (StoreFile* known = files_.find(number)) known->file = file;
  }
  job->opened.clear();
  if (!result && result.error().code == Errc::kNoSpace) {
    waiting_ = job;
    ++figures_.blocked;
    if (!std::exchange(blocked_, true)) owner_.journal_blocked(true);
    return;
  }
  if (!result) {
    failed_ = true;
    SLUICE_LOG(kLog, kError, "journal write failed, store is read-only error={}", result.error().detail);
    owner_.journal_failed(result.error());
    return;
  }
  if (std::exchange(blocked_, false)) owner_.journal_blocked(false);
  figures_.batches += job->steps.size();
  figures_.written_bytes += job->written_bytes;
  if (!job->steps.empty()) {
    written_batch_ = job->steps.back().header.number;
    durable_commit_ = job->steps.back().commit;
    written_file_ = job->steps.back().header.generation;
    written_end_ = job->steps.back().file_offset + job->steps.back().padded;
  }
  if (job->sync) {
    figures_.syncs += job->to_sync.size();
    synced_batch_ = written_batch_;
    synced_commit_ = durable_commit_;
    synced_file_ = written_file_;
    synced_end_ = written_end_;
  } else {
    for (auto& file : job->to_sync) {
      if (std::find(unsynced_.begin(), unsynced_.end(), file) == unsynced_.end()) unsynced_.push_back(file);
    }
  }
  if (batch_end_ != 0 || !sealed_.empty() || sync_wanted_) enlist();
  owner_.journal_committed();
}

void Journal::hold(bool held) {
  if (std::exchange(held_, held) && !held && (batch_end_ != 0 || !sealed_.empty())) enlist();
}

void Journal::retry() {
  if (waiting_ == nullptr || in_flight_ || failed_) return;
  submit(std::exchange(waiting_, nullptr));
}

namespace {

Status write_zeros(File& file, uint64_t size, Prewrite how) {
  const size_t step = how == Prewrite::kAmidCommits ? kZeroStep_bytes : 16 * kZeroStep_bytes;
  const std::vector<std::byte> zeros(std::min<uint64_t>(size, step));
  for (uint64_t at = 0; at < size; at += zeros.size()) {
    const size_t part = std::min<uint64_t>(zeros.size(), size - at);
    if (auto s = file.write_at(at, {zeros.data(), part}); !s) return s;
    if (how == Prewrite::kAtOnce) continue;
    if (auto s = file.sync(); !s) return s;
  }
  return how == Prewrite::kAtOnce ? file.sync() : Status{};
}

}  // namespace

Status prewrite_file(Disk& disk, const std::string& dir, const std::string& path, uint64_t size, Prewrite how) {
  const auto write = [&]() -> Status {
    auto file = disk.open(path, OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    if (auto s = (*file)->truncate(0); !s) return s;
    if (auto s = write_zeros(**file, size, how); !s) return s;
    return disk.sync_dir(dir);
  };
  Status result = write();
  if (!result) (void)disk.remove(path);
  return result;
}

Status zero_file(Disk& disk, const std::string& path, uint64_t begin) {
  auto file = disk.open(path, OpenMode::kReadWrite);
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  const std::vector<std::byte> zeros(kZeroStep_bytes);
  std::vector<std::byte> now(kZeroStep_bytes);
  for (uint64_t at = begin; at < *size; at += kZeroStep_bytes) {
    const std::span<std::byte> part(now.data(), std::min<uint64_t>(kZeroStep_bytes, *size - at));
    auto got = (*file)->read_at(at, part);
    if (!got) return std::unexpected(got.error());
    if (std::memcmp(part.data(), zeros.data(), *got) == 0) continue;
    if (auto s = (*file)->write_at(at, {zeros.data(), *got}); !s) return s;
    if (auto s = (*file)->sync(); !s) return s;
  }
  return (*file)->sync();  // zeros that were read may be a killed process's
}

Status wipe_file(Disk& disk, const std::string& path) {
  if (auto s = zero_file(disk, path, 0); !s) return s;
  return disk.remove(path);
}

}  // namespace sluice
