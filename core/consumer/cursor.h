// Where a consumer stands in its stream: the start position, the filters, the next message.
//
// Two phases: with last_per_subject first a fixed list of sequences, then (and for all other policies
// at once) everything from `resume` on that a filter selects.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "consumer/consumer_config.h"
#include "base/varint.h"
#include "store/stream_store.h"

namespace sluice {

/// Reads the stream's store, never writes. Loop thread only.
class Cursor {
 public:
  Cursor(StreamStore& store, std::vector<std::string> filters);

  /// Puts the cursor on the first candidate as the policy says. `one_per_subject`: the stream keeps one
  /// message a subject, so that last_per_subject is a plain scan.
  void start(const ConsumerConfig& config, bool one_per_subject);
  /// After recovery: everything up to `delivered` has been handed out.
  void resume_after(StreamSeq delivered);
  /// Everything from `seq` on is ahead again.
  void restart_at(StreamSeq seq);
  void set_filters(std::vector<std::string> filters);

  /// The next message not above `visible_last`; does not move. Views: see StoredMessage.
  std::optional<StoredMessage> next(StreamSeq visible_last);
  /// The disk refused to read what the last next() or count needed: the same again, later, may do better.
  bool unreadable() const { return unreadable_; }
  /// `seq`, as next() gave it, was handed out; undo() takes the newest advance back.
  void advance(StreamSeq seq);
  void undo(StreamSeq seq);

  /// The sequence in front of which nothing is left to hand out.
  StreamSeq first_candidate() const;
  /// Will it be handed out some day, if its subject is selected?
  bool is_ahead(StreamSeq seq) const;
  bool in_list_ahead(StreamSeq seq) const;
  bool selects(std::string_view subject) const;
  bool is_filtered() const { return !lanes_.empty(); }
  /// Messages ahead up to `last`, exact; may scan.
  uint64_t count_ahead(StreamSeq last);
  /// The same for those above `above`: what became visible.
  uint64_t count_ahead_between(StreamSeq above, StreamSeq last);
  void purged_below(StreamSeq first_kept);
  bool in_list() const { return at_ < list_.size(); }

  void encode(std::string& out) const;
  bool decode(VarintReader& in);

 private:
  struct Lane {
    std::string filter;
    StreamSeq candidate;  ///< first match at or after next_, when known
    StreamSeq none_upto;  ///< no match in next_…none_upto
  };
  void make_last_list(const ConsumerConfig& config);
  bool exists(StreamSeq seq) const;
  void forget_candidates();
  uint64_t count_unfiltered(StreamSeq from, StreamSeq last) const;
  std::optional<StoredMessage> next_in_order(StreamSeq visible_last);
  std::optional<StoredMessage> next_in_lanes(StreamSeq visible_last);
  std::optional<StoredMessage> find_next(StreamSeq visible_last);
  StreamSeq search(Lane& lane);
  bool refused() const { return store_.refused_reads() != refused_before_; }

  StreamStore& store_;
  std::vector<Lane> lanes_;      ///< empty = no filter
  StreamSeq next_{1};            ///< of the scan phase
  std::vector<uint64_t> list_;   ///< ascending; entries may have left the stream since
  size_t at_ = 0;
  uint64_t refused_before_ = 0;  ///< refused_reads() of the store when the call at hand began
  bool unreadable_ = false;
};

}  // namespace sluice
