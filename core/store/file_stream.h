// A stream on file: its index in RAM, its records in the journal and in segments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/indexed_stream.h"
#include "store/journal.h"
#include "store/recovery.h"

namespace sluice {

class FileStore;

/// Owned by its FileStore. After the store has failed nothing changes any more: append and skip
/// return 0, remove returns false.
class FileStream final : public IndexedStream {
 public:
  FileStream(FileStore& store, uint32_t id, std::string name, std::string meta);

  StreamSeq append(const AppendRequest& request) override;
  StreamSeq skip(WallNanos time, std::string_view msg_id) override;
  bool remove(StreamSeq seq, bool erase) override;
  uint64_t purge_below(StreamSeq first_kept) override;
  CommitNo last_commit() const override { return CommitNo(last_commit_); }
  void each_msg_id(WallNanos since, const std::function<void(std::string_view, StreamSeq, WallNanos)>& visit) override;

  // -- for the FileStore
  uint32_t id() const { return id_; }
  const std::string& name() const { return name_; }
  const std::string& meta() const { return meta_; }
  void start_at(StreamSeq first_seq);
  void restore_from(RecoveredStreamState&& state, const Recovery& recovery);
  /// Writes the stream's meta (twice) with where it begins and ends.
  void state_meta();
  void set_meta(std::string_view meta);
  /// Writes all gaps that overlap one of `spans` again.
  void state_gaps(const std::vector<StreamSpan>& spans);
  /// Gives up all its messages, before it is deleted.
  void release_all();
  MessageIndex& index() { return index_; }
  uint64_t meta_file() const { return meta_file_; }
  uint64_t last_file() const { return last_file_; }

 protected:
  Result<Fetched> fetch(uint64_t seq, const MessagePlace& place) const override;
  void hold(std::shared_ptr<const void> pin) override;
  void dropped(const MessagePlace& place) override;
  void message_lost(uint64_t seq, const Error& why) override;

 private:
  Journal::Written write(format::Record& record, uint64_t last_seq);
  StreamSpan& span(StoreFile& file);

  FileStore& store_;
  uint32_t id_;
  std::string name_;
  std::string meta_;
  HighWaterMark mark_;
  uint64_t last_commit_ = 0;
  uint64_t meta_file_ = 0;
  uint64_t last_file_ = 0;
  uint64_t span_file_ = 0;
  StreamSpan* span_ = nullptr;  ///< of the file span_file_
  std::vector<RecoveredId> ids_;
};

}  // namespace sluice
