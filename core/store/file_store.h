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
  void when_erased(std::move_only_function<void()> done) override;
  void on_durable(std::move_only_function<void(CommitNo)> listener) override;
  Status writable() const override;
  void on_event(std::move_only_function<void(const StoreEvent&)> listener) override { event_listener_ = std::move(listener); }
  bool failed() const override { return failure_.has_value(); }
  void close(std::move_only_function<void(Status)> done) override;
  void collect(MetricSink& sink) const override;

  // -- for FileStream
  struct ReadRecord {
    format::Record record;
    std::shared_ptr<const void> pin;  ///< null: it stands in what is held
  };
  /// kCorrupt: nothing good stands there; kIo: could not be read now.
  Result<ReadRecord> read_record(uint64_t file, uint64_t offset);
  /// The same, and message `seq` out of it when it is a packed run.
  Result<ReadRecord> read_message(uint64_t file, uint64_t offset, uint64_t seq);
  Journal& journal() { return *journal_; }
  FileTable& files() { return files_; }
  /// What stands there, read from the bytes that are held; nullopt says nothing. Good as long as they are.
  std::optional<format::Record> read_held(uint64_t file, uint64_t offset) const;
  /// Of a ReadRecord: what it was read from stays, and serves its neighbours, until the next call. Null changes nothing.
  void hold(std::shared_ptr<const void> pin);
  ColdCache& cold_cache() { return cold_cache_; }
  /// Calls `visit` for what a segment holds of a stream among first…last, removed ones too, rising.
  /// @return false when it can't be read now.
  bool each_entry(uint64_t file, uint32_t stream, uint64_t first, uint64_t last,
                  const std::function<void(const format::IndexEntry&)>& visit);
  void place_dropped(uint32_t stream, const MessagePlace& place);
  /// All that a segment holds of a stream.
  void part_dropped(uint64_t file, uint32_t stream);
  void message_lost(const std::string& stream, uint64_t seq, const Error& why);
  /// Overwrites a removed message wherever it stands, once its intent is on disk and the batch of the message proved.
  void begin_erasure(const Erasure& erasure);
  /// Ids of removed messages that retirements have kept, with time ≥ `since`.
  void each_kept_id(uint32_t stream, WallNanos since, const std::function<void(const format::Record&)>& visit);
  uint64_t read_errors() const { return read_errors_; }
  SyncMode sync_mode() const { return options_.sync; }
  void need_interval_sync();

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
    std::vector<uint64_t> erase_after;  ///< erasures asked for while being copied: done when the copies count
    bool waits_for_erase = false;
  };
  /// A journal file written before or recycled, waiting to be used.
  struct Spare {
    std::string path;
    Leftovers leftovers;
  };
  /// An erasure begun, not done.
  struct Erasing {
    uint64_t number = 0;  ///< rising
    Erasure what;
    bool copies_known = false;  ///< found by an opening, which has looked for copies
    bool overwritten = false;   ///< where it stood; what recycled files hold of it may still be there
  };

  void journal_committed() override;
  void journal_failed(const Error& why) override;
  void journal_blocked(bool blocked) override;
  void journal_rotated() override;
  std::string take_spare(uint64_t number) override;
  uint64_t take_file_number() override { return next_file_++; }
  void fill_ids(format::BatchHeader& header) const override;

  Status sync_folders();
  Status adopt(Recovery& recovery);
  Status adopt_segments(Recovery& recovery);
  Status adopt_ids(const Recovery& recovery);
  Status open_for_reading(StoreFile& file);
  struct IndexPage {
    std::shared_ptr<const void> pin;
    const std::byte* bytes = nullptr;
  };
  Result<IndexPage> index_page(StoreFile& file, uint32_t page);
  Result<ReadRecord> opened(const format::Record& record, std::shared_ptr<const void> pin, std::span<const std::byte> bytes,
                            uint64_t seed);
  std::optional<std::vector<std::byte>> salvage_run(uint64_t number, uint64_t offset);
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
  bool needs_spare() const;
  size_t full_journals() const;
  size_t most_spares() const;
  void drop_spares(size_t count);
  void spares_at_rest();
  void memory_at_rest();
  void wait_for_space();
  void check_space();
  void space_checked(const Status& result, uint64_t free_bytes, const std::string& spare, bool made);
  bool choose_retire();
  std::vector<uint64_t> oldest_journals(size_t full) const;
  bool may_retire_journal(const StoreFile& file) const;
  void begin_retire(std::vector<uint64_t> sources);
  void plan_file(StoreFile& file);
  static bool worth_rewriting(const StoreFile& segment);
  void state_removals(uint64_t number, FileStream& stream);
  bool facts_matter(const StoreFile& file) const;
  bool plan_ids(const StoreFile& file);
  void drop_old_ids();
  void copied(const Status& result);
  void adopt_segment();
  void compare_copy(StoreFile& segment);
  void move_index(const StoreFile& segment);
  void drop_sources();
  void state_again();
  void state_file_again(StoreFile& file);
  void recycle();
  void recycled(const Status& result);
  /// @param why  what is full, and what to do; empty = there is space.
  void set_no_space(std::string why);
  std::string disk_full() const;
  void bound_journal();

  // file_store_erase.cc
  void pend_erasure(const Erasure& erasure, int by);
  uint64_t add_erasure(const Erasure& erasure, bool copies_known);
  void resume_erasures(const std::vector<Erasure>& recovered);
  void prove_intent(uint64_t number);
  void erase_now(uint64_t number);
  std::vector<ErasureTarget> erasure_targets(const Erasing& erasing);
  void overwritten(uint64_t number, const Status& result);
  void finish_erasures();
  void erasures_finished();
  std::deque<Erasing>::iterator erasing(uint64_t number);

  // file_store_wipe.cc
  bool left_over(const Erasure& erasure) const;
  bool erasing_in(const Leftovers& leftovers) const;
  bool must_wipe(StoreFile& file) const;
  void wipe_leftovers(const Erasure& erasure);
  void wipe_spare(Spare spare);
  void spare_wiped(const std::string& path, const Status& result);
  void wipe_tail(StoreFile& file);
  void tail_wiped(uint64_t number, const Status& result);
  void keep_spare(const std::string& path, Leftovers leftovers);
  void wipe_and_remove(const std::string& path);
  void wipe_again();

  // file_store_scrub.cc
  struct ScrubStep {
    std::string path;
    format::SegmentTrailer trailer;
    uint32_t first = 0;
    uint32_t end = 0;  ///< out; past the last page: the tables too
    std::vector<uint32_t> repaired;
    std::vector<uint32_t> damaged;
    uint32_t tables_mended = 0;
  };
  void scrub_step();
  void scrubbed(uint64_t number, const ScrubStep& step, const Status& result);
  static Status scrub_pages(Disk& disk, ScrubStep& step);
  bool mend_record(StoreFile& file, uint64_t offset, uint64_t size);
  bool mend_page(StoreFile& file, uint64_t page);
  void page_lost(StoreFile& file, uint32_t page);
  void tell(StoreEvent event);

  Env& env_;
  StoreOptions options_;
  std::unique_ptr<DirLock> lock_;
  RecoveryReport report_;
  FileTable files_;
  BlockCache cache_;
  ColdCache cold_cache_;
  struct Unpacked {
    uint64_t file;
    uint64_t offset;
    std::shared_ptr<const std::vector<std::byte>> run;
    size_t hint = 0;  ///< where the message behind the last one read stands
  };
  std::deque<Unpacked> unpacked_;  ///< runs unpacked lately, newest first
  std::unique_ptr<Sealer> sealer_;  ///< null: no key is given
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
  /// Bytes of a file from a record that was read on. Whoever reads one message after the other finds the next in
  /// them, without asking for its file, window or block: a quarter of what a message of a push consumer cost.
  struct Stretch {
    uint64_t file = 0;  ///< 0 = none
    uint64_t begin = 0;
    std::span<const std::byte> bytes;
    uint64_t seed = 0;
    bool in_memory = false;  ///< never left it: no checksum is needed
    std::shared_ptr<const void> pin;
  };
  Stretch held_;    ///< has the message that was handed out last
  Stretch latest_;  ///< around the record that read_record() took last
  std::deque<uint64_t> open_segments_;
  std::vector<Spare> spares_;
  std::vector<IdFile> id_files_;
  std::optional<Error> failure_;
  CommitNo durable_at_failure_{0};
  std::string no_space_;  ///< why new messages are refused; empty = they are not
  bool interval_sync_ = false;
  std::deque<Erasing> erasing_;  ///< by rising number
  std::deque<Waiter> erase_waiters_;  ///< by the number up to which all must be done
  uint64_t last_erasing_ = 0;
  std::vector<Spare> wiping_;  ///< spares and files that left the store, while zeros are written over them
  std::vector<uint64_t> erasures_waiting_;  ///< for space, which disks that copy on write need for this too
  std::vector<std::string> wipes_waiting_;  ///< files, for the same
  bool wipe_again_ = false;  ///< spares and tails, for the same
  bool checking_space_ = false;
  bool spare_taken_ = false;   ///< so there may be less space than when it was looked at last
  bool spare_needed_ = false;  ///< since the spares were counted last
  bool maintain_posted_ = false;
  uint32_t background_jobs_ = 0;
  std::unique_ptr<Retire> retire_;
  std::shared_ptr<LargeMemoryStock> retire_memory_;  ///< the worker's, while it copies
  std::move_only_function<void(Status)> close_done_;
  bool closing_ = false;
  bool close_sealed_ = false;
  uint64_t lost_messages_ = 0;
  uint64_t read_errors_ = 0;
  uint64_t retired_files_ = 0;
  uint64_t copied_bytes_ = 0;
  uint64_t segment_written_bytes_ = 0;
  uint64_t prewritten_bytes_ = 0;
  uint64_t ids_bytes_ = 0;
  uint64_t scrubbed_bytes_ = 0;
  uint64_t scrub_passes_ = 0;
  uint64_t repaired_pages_ = 0;
  uint64_t damaged_pages_ = 0;
  uint64_t erasures_ = 0;
  uint64_t scrub_file_ = 0;  ///< where scrubbing goes on
  uint32_t scrub_page_ = 0;
  std::move_only_function<void(const StoreEvent&)> event_listener_;
  std::unique_ptr<Timer> scrub_timer_;
  std::unique_ptr<Timer> space_timer_;
  std::unique_ptr<Timer> spare_timer_;
  std::unique_ptr<Timer> memory_timer_;
  std::unique_ptr<Timer> sync_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<DiskWorker> worker_;
};

}  // namespace sluice
