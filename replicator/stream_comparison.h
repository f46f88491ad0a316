// Whether a copy of a stream holds what its origin holds: two readings, joined by the origin's sequences.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/seq_set.h"
#include "client/stream_client.h"

namespace sluice {

struct ComparisonOptions {
  std::string source_stream;       ///< as the marks of copies name it
  bool same_sequences = false;     ///< the target is a mirror
  StreamSeq source_end{};          ///< newest one that is read of the source; copies of later ones are passed over
  bool compare_subjects = true;
  size_t max_apart = 200'000;      ///< messages held of one side while the other is waited for; 40 bytes each
};

struct ComparisonReport {
  uint64_t equal = 0;
  uint64_t different = 0;       ///< both have it, with other contents
  uint64_t missing = 0;         ///< at the source, passed by the copy, not at the target
  uint64_t behind = 0;          ///< at the source, above the newest copy
  uint64_t only_at_target = 0;  ///< copied, and no longer at the source
  uint64_t doubled = 0;         ///< more than one copy of the same message
  uint64_t of_others = 0;       ///< at the target without a mark of this source
  /// Source sequences, rising, the first kMaxNamed of each.
  std::vector<StreamSeq> different_seqs{}, missing_seqs{}, doubled_seqs{};
};

/// Happy path: each message of either side is made a digest of what a copy keeps (subject, headers but for those that
/// copiers write, payload) and waits for its partner under the source's sequence. Order may differ between the sides
/// within `max_apart`. Nothing of the messages is kept.
class StreamComparison {
 public:
  static constexpr size_t kMaxNamed = 100;
  explicit StreamComparison(ComparisonOptions options) : options_(std::move(options)) {}

  void add_source(const ConsumedMessage& message);
  void add_target(const ConsumedMessage& message);
  /// One side is so far ahead that it has to wait. Both: the orders are too different to be compared.
  bool source_waits() const { return source_.size() >= options_.max_apart && !target_ended_; }
  bool target_waits() const { return target_.size() >= options_.max_apart && !source_ended_; }
  bool too_different() const { return source_waits() && target_waits(); }
  void end_source();
  void end_target();
  bool ended() const { return source_ended_ && target_ended_; }
  const ComparisonReport& report() const { return report_; }

 private:
  using Digest = std::array<uint64_t, 2>;
  Digest digest_of(const ConsumedMessage& message) const;
  std::optional<StreamSeq> origin_of(const ConsumedMessage& message) const;
  void meet(StreamSeq seq, const Digest& source, const Digest& target);
  void settle_source();

  const ComparisonOptions options_;
  ComparisonReport report_;
  std::map<StreamSeq, Digest> source_;  ///< not yet met by a copy
  std::map<StreamSeq, Digest> target_;
  SeqSet matched_;  ///< of the source's sequences, by now met
  StreamSeq newest_copy_{};
  StreamSeq last_source_{};
  bool source_ended_ = false;
  bool target_ended_ = false;
};

/// Words for people, one line each.
std::string describe(const ComparisonReport& report);

}  // namespace sluice
