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
#include "store/segment_format.h"
#include "store/stream_store.h"
#include "subject/subject_index.h"

namespace sluice {

/// Loop thread only. The derived class stores the bytes.
class IndexedStream : public StreamStore {
 public:
  StreamState state() const override;
  std::optional<StoredMessage> load(StreamSeq seq) override;
  std::optional<StoredMessage> load_next(StreamSeq from, std::string_view filter) override {
    return load_next_below(from, StreamSeq(UINT64_MAX), filter);
  }
  std::optional<StoredMessage> load_next_below(StreamSeq from, StreamSeq end, std::string_view filter) override;
  std::optional<StoredMessage> load_last(std::string_view filter) override;
  StreamSeq seq_at_time(WallNanos time) override;
  std::optional<SubjectState> subject_state(std::string_view literal) override;
  void each_subject(std::string_view filter,
                    const std::function<bool(std::string_view, const SubjectState&)>& visit) override;
  uint64_t count_matching(StreamSeq from, std::string_view filter) override;
  const SeqSet& deleted() const override { return gaps_; }
  const SeqSet& lost() const override { return lost_; }
  void each_msg_id(WallNanos since, const std::function<void(std::string_view, StreamSeq, WallNanos)>& visit) override;

 protected:
  struct Fetched {
    StoredMessage message;
    std::string_view msg_id;
    std::shared_ptr<const void> pin;  ///< keeps the views alive; null = what is held already, or the store's own memory
  };
  /// kCorrupt: the message is lost for good. Other errors: not readable now.
  virtual Result<Fetched> fetch(uint64_t seq, const MessagePlace& place) const = 0;
  /// Keeps what load() returned readable until the next load of the same directory. Null: it is so already.
  virtual void hold(std::shared_ptr<const void> pin) = 0;
  /// The message at `place` is no longer in the index.
  virtual void dropped(const MessagePlace& place) = 0;
  /// All messages leave the index at once; called before they do.
  virtual void dropped_all() = 0;
  virtual void message_lost(uint64_t seq, const Error& why) = 0;

  // -- ahead of note_append: what it works on, fetched into the processor's cache
  /// The object itself.
  void prefetch_note_append() const {
    __builtin_prefetch(&index_, 1);
    __builtin_prefetch(&last_, 1);
    __builtin_prefetch(&subjects_, 1);
  }
  /// And what that points to.
  void prefetch_place_and_subject(uint64_t seq) const {
    index_.prefetch_put(seq);
    subjects_.prefetch();
  }

  // -- bookkeeping, called by the derived class after its own part
  void note_append(uint64_t seq, const MessagePlace& place, std::string_view subject, WallNanos time);
  void note_skip(uint64_t seq, WallNanos time) { note_skip_to(seq, time); }
  void note_skip_to(uint64_t last, WallNanos time);
  /// @return false when there is no such message.
  bool note_remove(uint64_t seq);
  uint64_t note_purge_below(uint64_t first_kept);
  bool keep_only_from(uint64_t first_kept);

  // -- putting it together after recovery; messages come in any order
  void restore_count(const format::SubjectCount& counted);
  /// One message of `subject` counts less. Unless `twice`, it is gone; otherwise it was only counted once too often.
  void restore_uncount(uint64_t seq, std::string_view subject, bool twice);
  void restore_lost(SeqSet lost) { lost_ = std::move(lost); }
  /// Sets first, last and gaps from what is stored: rising ranges that don't touch.
  void restore_bounds(uint64_t floor, uint64_t last, WallNanos last_time, const std::vector<format::SeqRange>& stored);
  /// A message whose bytes are gone: out of the index.
  void lose(uint64_t seq, const Error& why);
  /// The subject of a message that can't be read, by its hash; empty when it is not known.
  std::string guess_subject(uint64_t seq, uint32_t hash);

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
  uint64_t first_behind_gap() const;
  Result<Fetched> fetch_or_lose(uint64_t seq);
  Result<Fetched> fetch_or_lose(uint64_t seq, const MessagePlace& place);
  void resolve_first(std::string_view subject, Count& count);
  void resolve_last(std::string_view subject, Count& count);
  Scan make_scan(uint64_t from, std::string_view filter);
  uint64_t find_last(std::string_view filter);
  uint64_t count_all_from(uint64_t from) const;

  SubjectIndex<Count> subjects_;
  SeqSet gaps_;
  SeqSet lost_;
  mutable uint64_t first_time_seq_ = 0;
  mutable WallNanos first_time_ = kZeroTime;
};

}  // namespace sluice
