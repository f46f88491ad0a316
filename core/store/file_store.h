// The store on disk: streams and consumers of one directory over one journal and its segments.
//
// Loop thread. Two disk workers: one commits batches (Journal), one does the slow work (new files, segments,
// recycling), so that neither waits for the other. Failure path: see Journal; a failure of the slow work
// other than a full disk also makes the store read-only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/block_cache.h"
#include "store/copy_job.h"
#include "store/file_stream.h"
#include "store/journal.h"
#include "store/recovery.h"
#include "store/store.h"
#include "store/store_file.h"

namespace sluice {

class FileStore final : public Store, public JournalOwner {
 public:
  FileStore(Env& env, StoreOptions options);
  ~FileStore() override;
  /// Blocking: locks, recovers, makes the first spare file.
  Status open();

  const RecoveryReport& recovery() const override { return report_; }
  std::vector<RecoveredStream> streams() const override;
  std::vector<RecoveredConsumer> consumers(std::string_view stream) const override;
  Result<StreamStore*> create_stream(std::string_view name, std::string_view meta, StreamSeq first_seq) override;
  StreamStore* find_stream(std::string_view name) override;
  void update_stream_meta(std::string_view name, std::string_view meta) override;
  void delete_stream(std::string_view name) override;
  ConsumerKey put_consumer(std::string_view stream, std::string_view name, std::string_view meta) override;
  void delete_consumer(ConsumerKey key) override;
  void append_consumer_delta(ConsumerKey key, std::string_view delta) override;
  void set_consumer_snapshot_source(std::function<std::string(ConsumerKey)> source) override;
  CommitNo last_commit() const override { return CommitNo(journal_->commit()); }
  /// Stands still once the store has failed: what the journal still brings to disk is acknowledged to nobody.
  CommitNo durable() const override { return failure_ ? durable_at_failure_ : CommitNo(journal_->durable_commit()); }
  void when_durable(CommitNo commit, std::move_only_function<void()> done) override;
  void on_durable(std::move_only_function<void(CommitNo)> listener) override;
  Status writable() const override;
  bool failed() const override { return failure_.has_value(); }
  void close(std::move_only_function<void(Status)> done) override;
  void collect(MetricSink& sink) const override;

  // -- for FileStream
  struct ReadRecord {
    format::Record record;
    std::shared_ptr<const void> pin;
  };
  /// kCorrupt: nothing good stands there; kIo: could not be read now.
  Result<ReadRecord> read_record(uint64_t file, uint64_t offset);
  Journal& journal() { return *journal_; }
  FileTable& files() { return files_; }
  void hold(std::shared_ptr<const void> pin) { held_ = std::move(pin); }
  ColdCache& cold_cache() { return cold_cache_; }
  /// Calls `visit` for what a segment holds of a stream among first…last, removed ones too, rising.
  /// @return false when it can't be read now.
  bool each_entry(uint64_t file, uint32_t stream, uint64_t first, uint64_t last,
                  const std::function<void(const format::IndexEntry&)>& visit);
  void place_dropped(uint32_t stream, const MessagePlace& place);
  /// All that a segment holds of a stream.
  void part_dropped(uint64_t file, uint32_t stream);
  void message_lost(const std::string& stream, uint64_t seq, const Error& why);
  /// Overwrites a removed message once its removal is on disk and proved.
  void erase_bytes(const MessagePlace& place);


 private:
  struct Consumer {
    uint32_t stream = 0;
    std::string name;
    std::string meta;
    uint64_t meta_file = 0;
    std::optional<RecoveredConsumer> recovered;  ///< until its first change
  };
  struct Waiter {
    uint64_t commit;
    std::move_only_function<void()> done;
  };
  /// One retirement under way: a journal file, or thin segments together.
  struct Retire {
    std::vector<uint64_t> sources;
    bool journal = false;
    std::shared_ptr<CopyJob> copy;
    uint64_t expected = 0;  ///< messages alive when it was planned
    bool adopted = false;   ///< the copies count now
    struct Dropped {
      uint32_t messages = 0;
      uint64_t bytes = 0;
    };
    std::unordered_map<uint32_t, Dropped> dropped;  ///< of these, removed since, by stream
    std::vector<std::pair<uint32_t, uint64_t>> erase_too;  ///< erased while being copied
    bool waits_for_erase = false;
  };

  void journal_committed() override;
  void journal_failed(const Error& why) override;
  void journal_blocked(bool blocked) override;
  void journal_rotated() override;
  std::string take_spare() override;
  uint64_t take_file_number() override { return next_file_++; }
  void fill_ids(format::BatchHeader& header) const override;

  Status sync_folders();
  Status adopt(Recovery& recovery);
  Status adopt_segments(Recovery& recovery);
  Status open_for_reading(StoreFile& file);
  struct IndexPage {
    std::shared_ptr<const void> pin;
    const std::byte* bytes = nullptr;
  };
  Result<IndexPage> index_page(StoreFile& file, uint32_t page);
  Status scan_again(StoreFile& file);
  Status each_paged_entry(StoreFile& file, const SegmentPart& part, uint64_t first, uint64_t last,
                          const std::function<void(const format::IndexEntry&)>& visit);
  void note_dropped(uint32_t stream, uint64_t file, uint32_t messages, uint64_t bytes);
  Journal::Written write_consumer(format::RecordType type, uint64_t key, std::string_view payload);
  void write_consumer_meta(uint64_t key, Consumer& consumer);
  void when_synced(uint64_t commit, std::move_only_function<void()> done);
  void run_waiters();
  void fail_store(const Error& why);
  void close_step();

  // file_store_retire.cc
  void maintain_soon();
  void maintain();
  void background(std::move_only_function<Status()> work, std::move_only_function<void(Status)> done);
  void check_space();
  void space_checked(const Status& result, uint64_t free_bytes, const std::string& spare, bool made);
  bool choose_retire();
  bool may_retire_journal(const StoreFile& file) const;
  void begin_retire(std::vector<uint64_t> sources);
  void plan_file(StoreFile& file);
  static bool worth_rewriting(const StoreFile& segment);
  void state_removals(uint64_t number, FileStream& stream);
  bool facts_matter(const StoreFile& file) const;
  void copied(const Status& result);
  void adopt_segment();
  void compare_copy(StoreFile& segment);
  void move_index(const StoreFile& segment);
  void drop_sources();
  void state_again();
  void state_file_again(StoreFile& file);
  void recycle();
  void recycled(const Status& result);
  void erase_now(uint64_t file, uint64_t offset);
  struct Overwrite {
    uint64_t file;
    uint64_t offset;
    std::shared_ptr<const std::vector<std::byte>> bytes;
  };
  void overwrite(Overwrite job);
  void overwritten(uint64_t file);

  Env& env_;
  StoreOptions options_;
  std::unique_ptr<DirLock> lock_;
  RecoveryReport report_;
  FileTable files_;
  BlockCache cache_;
  ColdCache cold_cache_;
  std::unique_ptr<Journal> journal_;
  uint64_t store_id_ = 0;
  uint64_t next_file_ = 1;
  uint64_t next_stream_ = 1;
  uint64_t next_consumer_ = 1;
  std::map<std::string, FileStream*, std::less<>> by_name_;
  std::unordered_map<uint32_t, std::unique_ptr<FileStream>> by_id_;
  std::map<uint64_t, Consumer> consumers_;
  std::map<std::pair<uint32_t, std::string>, uint64_t> consumer_keys_;
  std::function<std::string(ConsumerKey)> snapshot_source_;
  std::deque<Waiter> waiters_;
  std::deque<Waiter> sync_waiters_;
  std::vector<std::move_only_function<void(CommitNo)>> listeners_;
  std::shared_ptr<const void> held_;
  std::deque<uint64_t> open_segments_;
  std::vector<std::string> spares_;
  std::optional<Error> failure_;
  CommitNo durable_at_failure_{0};
  bool no_space_ = false;
  std::vector<Overwrite> overwrites_waiting_;  ///< of erased records, for space
  bool checking_space_ = false;
  bool maintain_posted_ = false;
  uint32_t background_jobs_ = 0;
  std::unique_ptr<Retire> retire_;
  std::move_only_function<void(Status)> close_done_;
  bool closing_ = false;
  bool close_sealed_ = false;
  uint64_t lost_messages_ = 0;
  uint64_t read_errors_ = 0;
  uint64_t retired_files_ = 0;
  uint64_t copied_bytes_ = 0;
  std::unique_ptr<Timer> space_timer_;
  std::unique_ptr<Timer> sync_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<DiskWorker> worker_;
};

}  // namespace sluice
