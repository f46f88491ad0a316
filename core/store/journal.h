// The young generation: batches of records appended to pre-written files, one write and one fdatasync
// a round.
//
// Happy path: append() copies a record into the newest window and gives its place; at the round's end
// everything gathered goes to the disk worker as one job; while that runs the next one gathers.
// Failures: ENOSPC keeps the job and tries again, since nothing of it is on disk; any other failed write
// or sync ends the journal for good. Loop thread only; jobs own what they touch.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/env.h"
#include "store/record_format.h"
#include "store/store.h"
#include "store/store_file.h"

namespace sluice {

/// What the journal tells and asks its store.
class JournalOwner {
 public:
  virtual ~JournalOwner() = default;
  /// durable_commit() or synced_commit() rose.
  virtual void journal_committed() = 0;
  virtual void journal_failed(const Error& why) = 0;
  /// Writing is held back by a full disk (true), or goes on again (false).
  virtual void journal_blocked(bool blocked) = 0;
  /// The newest file changed; an older one is full.
  virtual void journal_rotated() = 0;
  /// Path of a pre-written file for journal file `number`, or "" when there is none. Given away for good.
  virtual std::string take_spare(uint64_t number) = 0;
  virtual uint64_t take_file_number() = 0;
  /// For the batch header: ids that are next to be given out.
  virtual void fill_ids(format::BatchHeader& header) const = 0;
};

/// The part of the high-water record that a stream owns; lives in the stream.
struct HighWaterMark {
  uint64_t batch = 0;
  size_t slot = 0;
};

class Journal {
 public:
  Journal(Env& env, const StoreOptions& options, uint64_t store_id, FileTable& files, JournalOwner& owner);

  /// Begins a new file. `next_batch` and `commit` go on where recovery ended.
  void start(uint64_t next_batch, uint64_t commit);

  struct Written {
    StoreFile* file;
    uint64_t offset;
  };
  /// Appends one record; `mark` names the stream whose sequence `last_seq` it gives out (null: none). A batch in which no
  /// record needs it (`must_sync`) counts as durable when the kernel has it.
  Written append(format::Record record, HighWaterMark* mark, uint64_t last_seq, bool must_sync);
  /// One of the store itself, kept as the store's mode says.
  Written append(const format::Record& record) { return append(record, nullptr, 0, options_.sync == SyncMode::kAlways); }
  /// A removal of messages that the next removals of the stream may join, as long as its batch gathers.
  struct Removal {
    uint64_t batch = 0;
    uint64_t offset = 0;
  };
  /// Adds the removal of message `seq`, which lies at `at`, to `open`. False: it can't be, and takes a record of its own.
  bool join_removal(const Removal& open, uint64_t seq, Written at, bool must_sync);
  uint64_t batch() const { return batch_; }
  /// What the record takes in the journal at most.
  size_t size_of(format::Record record) const {
    record.sealed = sealer_ != nullptr && format::is_sealable(record.type);
    return format::record_size(record);
  }
  /// Records of `bytes` (size_of) in all that follow go into one batch, which recovery believes whole or not at all:
  /// they are followed by end_together().
  void keep_together(size_t bytes);
  void end_together();
  /// What follows goes into a file of its own.
  void rotate();
  /// Up to where a journal file is on disk as it was written; behind that it may hold what earlier uses left.
  uint64_t end_on_disk(const StoreFile& file) const;
  /// The bytes of a record still in memory, for erase; null when they are not.
  std::byte* in_memory(StoreFile& file, uint64_t offset);

  /// The file that is being written; null before the first record.
  const StoreFile* current_or_null() const { return current_; }
  bool has_file() const { return current_ != nullptr; }
  uint64_t commit() const { return commit_; }
  uint64_t durable_commit() const { return durable_commit_; }
  /// ≤ durable_commit; equal in SyncMode::kAlways.
  uint64_t synced_commit() const { return synced_commit_; }
  /// Makes the next write also sync, whatever the mode.
  void request_sync();
  bool idle() const { return !in_flight_ && durable_commit_ == commit_ && !sync_wanted_; }
  bool failed() const { return failed_; }
  /// Starts again a job that waits for space.
  void retry();
  /// Commits that nobody needs for going on wait until released.
  void hold(bool held);
  bool blocked() const { return blocked_; }

  struct Figures {
    uint64_t batches = 0, syncs = 0, written_bytes = 0, inline_files = 0, blocked = 0, tail_bytes = 0, held = 0;
  };
  const Figures& figures() const { return figures_; }

 private:
  /// One batch to write; the first of a file also brings the file into being.
  struct Step {
    std::shared_ptr<Window> window;
    size_t at = 0;
    size_t padded = 0;
    uint64_t file_offset = 0;
    format::BatchHeader header;
    uint64_t commit = 0;
    bool must_sync = false;
    bool opens_file = false;
    bool opened = false;
    std::string spare;
    std::string path;
    uint64_t file_size = 0;
  };

  struct Job {
    std::string journal_dir;
    uint64_t key_id = 0;
    std::vector<Step> steps;
    size_t next = 0;
    bool sync = false;
    std::shared_ptr<File> file;                      ///< the file of the step at hand
    std::vector<std::shared_ptr<File>> to_sync;
    std::vector<std::pair<uint64_t, std::shared_ptr<File>>> opened;
    uint64_t written_bytes = 0;
  };

  static Status run(Env& env, Job& job);
  static Status activate(Env& env, Job& job, Step& step);

  void open_file(size_t record_size);
  void open_window(size_t record_size);
  void begin_batch();
  bool has_room(size_t bytes) const;
  void make_room(size_t bytes);
  void seal();
  void enlist();
  void flush();
  void submit(std::shared_ptr<Job> job);
  void finished(const std::shared_ptr<Job>& job, const Status& result);
  void evict();

  Env& env_;
  const StoreOptions& options_;
  uint64_t store_id_;
  FileTable& files_;
  JournalOwner& owner_;

  std::unique_ptr<Sealer> sealer_;  ///< null: not encrypted
  StoreFile* current_ = nullptr;
  uint64_t seed_ = 0;
  uint64_t together_batch_ = 0;  ///< the batch that must not end before end_together(); 0 = none
  uint64_t file_first_batch_ = 0;
  uint64_t file_end_ = 0;  ///< where the next batch begins
  std::shared_ptr<Window> window_;
  std::deque<std::pair<uint64_t, std::shared_ptr<Window>>> tail_;
  size_t window_bytes_;

  uint64_t batch_ = 1;  ///< number of the batch that gathers
  size_t batch_at_ = 0;  ///< its place in window_
  size_t batch_end_ = 0;  ///< 0 = nothing gathered
  uint32_t batch_count_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> marks_;
  std::vector<Step> sealed_;
  std::vector<std::shared_ptr<File>> unsynced_;

  uint64_t commit_ = 0;
  uint64_t durable_commit_ = 0;
  uint64_t synced_commit_ = 0;
  uint64_t written_batch_ = 0;
  uint64_t synced_batch_ = 0;
  uint64_t written_file_ = 0;
  uint64_t written_end_ = 0;
  uint64_t synced_file_ = 0;  ///< where that batch stands
  uint64_t synced_end_ = 0;   ///< and ends
  bool rotating_ = false;     ///< the next batch opens a file
  bool enlisted_ = false;
  bool in_flight_ = false;
  bool sync_wanted_ = false;
  bool batch_must_sync_ = false;
  bool held_ = false;
  bool blocked_ = false;
  bool failed_ = false;
  std::shared_ptr<Job> waiting_;
  Figures figures_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<DiskWorker> worker_;
};

enum class Prewrite : uint8_t {
  kAtOnce,       ///< nobody waits for the disk yet: one sync at the end
  kAmidCommits,  ///< small steps, each synced: a commit that meets it on the disk waits for one step only
};
/// Creates `path` of `size` bytes of zeros that are on disk. Blocking.
Status prewrite_file(Disk& disk, const std::string& dir, const std::string& path, uint64_t size, Prewrite how);
/// Zeros over all of `path` from `begin` on that is not zero yet, in small steps; on disk when it returns. Blocking.
Status zero_file(Disk& disk, const std::string& path, uint64_t begin);
/// The same for a whole file, which is then removed. Blocking.
Status wipe_file(Disk& disk, const std::string& path);

}  // namespace sluice
