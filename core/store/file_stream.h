// A stream on file: its index in RAM, its records in the journal and in segments.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "store/copy_job.h"
#include "store/indexed_stream.h"
#include "store/journal.h"
#include "store/recovery.h"

namespace sluice {

class FileStore;

/// Owned by its FileStore. After the store has failed nothing changes any more: append and skip
/// return 0, remove returns false.
class FileStream final : public IndexedStream, private ColdPlaces {
 public:
  FileStream(FileStore& store, uint32_t id, std::string name, std::string meta);

  uint64_t refused_reads() const override;
  void set_traits(const StreamTraits& traits) override;
  void prefetch_append() const override;
  StreamSeq append(const AppendRequest& request) override;
  StreamSeq append_all(std::span<const AppendRequest> requests) override;
  StreamSeq skip(WallNanos time, std::string_view msg_id) override;
  void skip_to(StreamSeq last, WallNanos time) override;
  bool remove(StreamSeq seq, bool erase) override;
  uint64_t purge_below(StreamSeq first_kept) override;
  CommitNo last_commit() const override { return CommitNo(last_commit_); }
  void each_msg_id(WallNanos since, const std::function<void(std::string_view, StreamSeq, WallNanos)>& visit) override;

  // -- for the FileStore
  uint32_t id() const { return id_; }
  const std::string& name() const { return name_; }
  const std::string& meta() const { return meta_; }
  void start_at(StreamSeq first_seq);
  /// After recovery: begin, every segment's part of it in rising order of files, end.
  void restore_begin(RecoveredStreamState&& state);
  void restore_part(StoreFile& file, SegmentPart& part, const format::PartSummary& summary);
  void restore_end(const Recovery& recovery);
  /// Writes the stream's meta (twice) with where it begins and ends.
  void state_meta();
  void set_meta(std::string_view meta);
  /// Writes again those of `removals` (null: of all gaps) that are gaps and overlap one of `spans`.
  void state_gaps(const std::vector<StreamSpan>& spans, const SeqSet* removals);
  /// A segment that holds some of its messages came, or goes.
  void add_segment(uint64_t number) { segments_.push_back(static_cast<uint32_t>(number)); }
  void drop_segment(uint64_t number) { std::erase(segments_, static_cast<uint32_t>(number)); }
  /// Adds what of first…last lives to a copy job.
  void plan_copy(CopyJob& job, uint64_t first, uint64_t last) const;
  /// The messages among first…last that lay in the job's sources lie in its segment now.
  void moved(const CopyJob& job, uint64_t first, uint64_t last);
  /// The message can't be copied: its bytes are gone.
  void give_up(uint64_t seq, const Error& why);
  /// Gives up all its messages, before it is deleted.
  void release_all();
  MessageIndex& index() { return index_; }
  uint64_t first() const { return first_; }
  std::chrono::nanoseconds id_window() const { return id_window_; }
  WallNanos newest_id() const { return newest_id_; }
  uint64_t meta_file() const { return meta_file_; }
  uint64_t last_file() const { return last_file_; }

 protected:
  Result<Fetched> fetch(uint64_t seq, const MessagePlace& place) const override;
  void hold(std::shared_ptr<const void> pin) override;
  void dropped(const MessagePlace& place) override;
  void dropped_all() override { release_all(); }
  void message_lost(uint64_t seq, const Error& why) override;

 private:
  Journal::Written write(format::Record& record, uint64_t last_seq);
  void write_removal(uint64_t seq, Journal::Written message);
  StreamSpan& span(StoreFile& file);
  bool load_places(uint64_t first, std::span<MessagePlace> places) override;
  void take_out_removed(StoreFile& file, SegmentPart& part, const format::PartSummary& summary,
                        const std::vector<format::SeqRange>& gone);
  void note_id(StoreFile& file, const format::Record& record);
  void each_removed_id(WallNanos since, const std::function<void(const format::Record&)>& visit);
  std::vector<format::SeqRange> merge_cold();
  void uncount_copies(const SeqSet& twice);

  // What every append works on, side by side.
  FileStore& store_;
  uint32_t id_;
  SyncMode sync_ = SyncMode::kAlways;
  bool compress_ = false;
  HighWaterMark mark_;
  uint64_t last_commit_ = 0;
  uint64_t last_file_ = 0;
  uint64_t span_file_ = 0;
  StreamSpan* span_ = nullptr;  ///< of the file span_file_
  WallNanos newest_id_ = INT64_MIN;  ///< time of the newest message id; after opening at least that

  std::string name_;
  std::string meta_;
  std::chrono::nanoseconds id_window_ = StreamTraits().id_window;
  Journal::Removal removal_;
  uint64_t meta_file_ = 0;
  std::vector<RecoveredId> ids_;
  std::vector<uint32_t> segments_;  ///< that hold messages of it, rising
  struct Restoring {
    RecoveredStreamState state;
    std::vector<format::SeqRange> cold;  ///< of all segments, what lives
  };
  std::unique_ptr<Restoring> restoring_;
};

}  // namespace sluice
