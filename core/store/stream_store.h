// What a stream needs of its storage, on file or in memory: append, read, remove, count.
//
// Loop thread only. Reads are synchronous: the tail is in memory, older records are read through a
// bounded block cache (docs/decisions). Nothing here knows limits, dedup, consumers or KV.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/seq_set.h"
#include "base/time_format.h"

namespace sluice {

/// A stored message. The views live until the next call of a non-const method of the same store, or
/// the next load() of any store of the same directory: copy what you keep.
struct StoredMessage {
  StreamSeq seq;
  WallNanos time = 0;
  std::string_view subject;
  std::string_view headers;  ///< whole block "NATS/1.0\r\n…\r\n\r\n"; empty = none
  std::string_view payload;
};

/// Figures as the API reports them (facts: StreamInfo.state). `bytes` counts by the reference's record
/// sizes: file 22 + subject + (4 + headers, when there are any) + payload + 8; memory
/// subject + headers + payload + 16.
struct StreamState {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  StreamSeq first_seq;  ///< empty stream: last_seq + 1; never written: 0
  StreamSeq last_seq;
  WallNanos first_time = kZeroTime;  ///< kZeroTime when empty
  WallNanos last_time = kZeroTime;   ///< kept when everything was removed
  uint64_t num_deleted = 0;          ///< interior gaps between first and last
  uint64_t num_subjects = 0;
};

/// What is stored under one subject.
struct SubjectState {
  uint64_t count = 0;
  StreamSeq first;
  StreamSeq last;
};

struct AppendRequest {
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
  WallNanos time = 0;
  std::string_view msg_id;  ///< kept with the record for the dedup window; empty = none
  bool skipped = false;     ///< append_all: only its sequence is used up
};

enum class SyncMode : uint8_t {
  kAlways,    ///< acknowledged when on disk (default)
  kInterval,  ///< acknowledged when handed to the kernel; synced every sync_interval
  kNone,      ///< acknowledged when handed to the kernel; synced when the kernel likes
};

/// What the stream asks of its storage beyond its messages.
struct StreamTraits {
  bool compress = false;  ///< old messages may be kept compressed
  std::chrono::nanoseconds id_window = std::chrono::minutes(2);  ///< how long message ids are kept, also of removed messages
  std::optional<SyncMode> sync = std::nullopt;  ///< when its messages count as durable; nullopt: as the store says
};

/// What may be appended in one piece. The journal takes it as one batch.
inline constexpr size_t kMaxTogether_bytes = 48 * kMiB;

class StreamStore {
 public:
  virtual ~StreamStore() = default;

  /// Told after every opening and whenever it changes; not kept by the store.
  virtual void set_traits(const StreamTraits&) {}

  // -- writing; every change is durable once the directory's journal reaches the CommitNo returned by
  //    last_commit() after the call (memory stores: at once).

  /// An append is about to come: fetches what it works on into the processor's cache. Where many streams are written in
  /// turn, none of it is there any more.
  virtual void prefetch_append() const {}
  /// Appends at last_seq + 1. Never fails for space here: Store::writable() tells that before.
  /// 0 when the store has failed for good (Store::failed()): nothing was taken.
  virtual StreamSeq append(const AppendRequest& request) = 0;
  /// Appends all of them from last_seq + 1 on, in one piece: after a crash all are there or none.
  /// At most kMaxTogether_bytes of subjects, headers, payloads and ids. @return the first sequence; 0 as above.
  virtual StreamSeq append_all(std::span<const AppendRequest> requests) = 0;
  /// Uses up last_seq + 1 without storing a message (interest streams without interest; mirrors).
  virtual StreamSeq skip(WallNanos time, std::string_view msg_id) = 0;
  /// Uses up every sequence to `last` (in, above last_seq) in one step: gaps of a mirror's origin.
  virtual void skip_to(StreamSeq last, WallNanos time) {
    while (state().last_seq < last && !skip(time, {}).is_zero()) {
    }
  }
  /// @return false when there is no such message. `erase`: also make the bytes unreadable.
  virtual bool remove(StreamSeq seq, bool erase) = 0;
  /// Removes all messages below `first_kept`; when that is above last_seq + 1 the stream is emptied
  /// and the next append gets `first_kept`. @return how many messages were removed.
  virtual uint64_t purge_below(StreamSeq first_kept) = 0;
  virtual CommitNo last_commit() const = 0;

  // -- reading

  virtual StreamState state() const = 0;
  virtual std::optional<StoredMessage> load(StreamSeq seq) = 0;
  /// The first message with sequence ≥ `from` whose subject matches `filter` (wildcards; empty or
  /// ">" = all). Uses the subject index to jump; bounded work per call is the caller's business.
  /// Also nullopt when the disk refuses to read the next one now: it is asked for again, not skipped.
  virtual std::optional<StoredMessage> load_next(StreamSeq from, std::string_view filter) = 0;
  /// The same among the sequences below `end`, of which there may be few: what it looks at is bounded by them.
  virtual std::optional<StoredMessage> load_next_below(StreamSeq from, StreamSeq end, std::string_view filter) {
    auto found = load_next(from, filter);
    if (found && found->seq >= end) found.reset();
    return found;
  }
  /// The last message on a literal subject, or of all subjects matching a filter.
  virtual std::optional<StoredMessage> load_last(std::string_view filter) = 0;
  /// First sequence whose time is ≥ `time`; last_seq + 1 when there is none.
  virtual StreamSeq seq_at_time(WallNanos time) = 0;
  virtual std::optional<SubjectState> subject_state(std::string_view literal) = 0;
  /// Calls `visit` for every stored subject that matches, in lexical order, until it returns false.
  virtual void each_subject(
      std::string_view filter,
      const std::function<bool(std::string_view subject, const SubjectState&)>& visit) = 0;
  /// How many messages with sequence ≥ `from` match `filter`. Exact. Sublinear for literal subjects
  /// when from ≤ the subject's first and for the whole stream; otherwise it may scan.
  virtual uint64_t count_matching(StreamSeq from, std::string_view filter) = 0;
  /// Interior gaps between first_seq and last_seq, as ranges.
  virtual const SeqSet& deleted() const = 0;
  /// Messages found damaged beyond repair since the store was opened; they are among deleted() or below first.
  virtual const SeqSet& lost() const = 0;
  /// Rises when the disk refuses a read: what the call at hand did not find or count may be there all the same.
  virtual uint64_t refused_reads() const { return 0; }

  // -- recovery

  /// Ids appended or skipped with time ≥ `since`, oldest first; used once after opening.
  virtual void each_msg_id(
      WallNanos since,
      const std::function<void(std::string_view id, StreamSeq seq, WallNanos time)>& visit) = 0;
};

}  // namespace sluice
