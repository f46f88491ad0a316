// The half of a StreamStore that file and memory share: the index, the counts, and all reads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "store/message_index.h"
#include "store/stream_store.h"
#include "subject/subject_index.h"

namespace sluice {

/// Hash kept beside each message's place, so that scans for few subjects need not read messages.
uint32_t subject_hash(std::string_view subject);

/// Loop thread only. The derived class stores the bytes.
class IndexedStream : public StreamStore {
 public:
  StreamState state() const override;
  std::optional<StoredMessage> load(StreamSeq seq) override;
  std::optional<StoredMessage> load_next(StreamSeq from, std::string_view filter) override;
  std::optional<StoredMessage> load_last(std::string_view filter) override;
  StreamSeq seq_at_time(WallNanos time) override;
  std::optional<SubjectState> subject_state(std::string_view literal) override;
  void each_subject(std::string_view filter,
                    const std::function<bool(std::string_view, const SubjectState&)>& visit) override;
  uint64_t count_matching(StreamSeq from, std::string_view filter) override;
  const SeqSet& deleted() const override { return gaps_; }
  void each_msg_id(WallNanos since, const std::function<void(std::string_view, StreamSeq, WallNanos)>& visit) override;

 protected:
  struct Fetched {
    StoredMessage message;
    std::string_view msg_id;
    std::shared_ptr<const void> pin;  ///< keeps the views alive; null = the store's own memory does
  };
  /// kCorrupt: the message is lost for good. Other errors: not readable now.
  virtual Result<Fetched> fetch(uint64_t seq, const MessagePlace& place) const = 0;
  /// Keeps what load() returned readable until the next load of the same directory.
  virtual void hold(std::shared_ptr<const void> pin) = 0;
  /// The message at `place` is no longer in the index.
  virtual void dropped(const MessagePlace& place) = 0;
  virtual void message_lost(uint64_t seq, const Error& why) = 0;

  // -- bookkeeping, called by the derived class after its own part
  void note_append(uint64_t seq, const MessagePlace& place, std::string_view subject, WallNanos time);
  void note_skip(uint64_t seq, WallNanos time);
  /// @return false when there is no such message.
  bool note_remove(uint64_t seq);
  uint64_t note_purge_below(uint64_t first_kept);
  /// Sets everything that is not a message: after recovery put the index together.
  void restore(uint64_t first_floor, uint64_t last_seq, WallNanos last_time,
               const std::function<std::string_view(uint32_t subject_number)>& subject_of);

  MessageIndex index_;
  uint64_t first_ = 1;  ///< empty: last_ + 1
  uint64_t last_ = 0;
  uint64_t bytes_ = 0;
  WallNanos last_time_ = kZeroTime;

 private:
  struct Count {
    uint64_t first = 0;  ///< when stale: the true one is larger
    uint64_t last = 0;   ///< when stale: the true one is smaller
    uint32_t count = 0;
    bool first_stale = false;
    bool last_stale = false;
  };
  struct Scan;  // a filter made ready for walking the index

  void add_subject(uint64_t seq, std::string_view subject);
  void remove_subject(uint64_t seq, std::string_view subject);
  void forget(uint64_t seq);
  void close_gap_at_front();
  void lose(uint64_t seq, const Error& why);
  std::optional<Fetched> fetch_or_lose(uint64_t seq);
  void resolve_first(std::string_view subject, Count& count);
  void resolve_last(std::string_view subject, Count& count);
  Scan make_scan(uint64_t from, std::string_view filter);
  uint64_t find_last(std::string_view filter);
  uint64_t count_all_from(uint64_t from) const;

  SubjectIndex<Count> subjects_;
  SeqSet gaps_;
  mutable uint64_t first_time_seq_ = 0;
  mutable WallNanos first_time_ = kZeroTime;
};

}  // namespace sluice
