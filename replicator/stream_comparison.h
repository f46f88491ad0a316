// Whether a copy of a stream holds what its origin holds: a walk down two hash trees that goes on only where they differ.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "replicator/healing.h"
#include "replicator/stream_digests.h"

namespace sluice {

struct ComparisonOptions {
  DigestKey key{};                 ///< fresh and secret
  std::string source_stream{};     ///< as the marks of copies name it
  bool same_sequences = false;     ///< the target is a mirror
  StreamSeq source_end{};          ///< the source's last sequence; copies of later ones are passed over
  StreamSeq target_end{};          ///< the target's own last sequence
  std::string replicator{};        ///< whose marks count (MarkRule)
  std::string worker{};
  uint32_t hop = 0;
  bool compare_subjects = true;
  SubjectRewriteRules rewrite{};   ///< what the copy makes of the source's subjects
  bool target_limited = false;     ///< the target lets its front go by its limits, and has
  bool sampled = false;            ///< the copy leaves messages out on purpose
  std::vector<std::string> filters{};  ///< subjects of the source that are copied; empty = all
  uint32_t max_hops = 0;           ///< the copy leaves out what was copied so often already; 0 = nothing
  uint64_t max_found = 100'000;    ///< differences looked for
};

struct ComparisonReport {
  uint64_t equal = 0;
  uint64_t different = 0;       ///< both have it, with other contents
  uint64_t missing = 0;         ///< at the source, passed by the copy, not at the target
  uint64_t left_out = 0;        ///< the same of a sampled copy: no difference
  uint64_t removed_at_target = 0;  ///< below the target's oldest copy, which its limits have made the oldest
  uint64_t behind = 0;          ///< at the source, above the newest copy
  uint64_t only_at_target = 0;  ///< copied, and no longer at the source
  uint64_t doubled = 0;         ///< more than one copy of the same message
  uint64_t of_others = 0;       ///< at the target without a mark of this source
  uint64_t disordered = 0;      ///< at the target behind a copy of a later message
  bool stopped = false;         ///< at max_found; the counts are of what was looked at
  StreamSeq newest_copy{};      ///< the source's sequence of it
  StreamSeq newest_copy_own{};
  /// Source sequences, rising, the first max_found of each.
  std::vector<StreamSeq> different_seqs{}, doubled_seqs{};
  /// Where the source's messages are missing, rising; list_missing() names them one by one.
  struct MissingPart {
    SequenceRange range{};
    SequenceRange own{};
    uint64_t count = 0;
  };
  std::vector<MissingPart> missing_parts{};
  /// Where the target holds something else, or more than once: for copies_of().
  struct WrongPlace {
    StreamSeq seq{};
    SequenceRange target_own{};
    uint64_t count = 0;
  };
  std::vector<WrongPlace> wrong_places{};

  /// Every copied message is there once, as it was. `exact`: and nothing else, in order.
  bool holds(bool exact) const;
};

/// Happy path: both sides fold all they hold into some 256 parts of the source's sequences; equal parts are done with, and
/// a part that differs is asked for again in smaller ones, down to single messages. Each answer says where in its own
/// stream the messages of a part are, so that a question reads only those.
/// A sampled copy has gaps all over: there the target lists what it holds and the source is asked for just that.
/// Failures: a side's error ends it. What changes meanwhile is told as it was when looked at last.
class StreamComparison {
 public:
  /// Runs the world until `ended` is true. @return false: it gave up.
  using Wait = std::function<bool(const std::function<bool()>& ended)>;
  StreamComparison(ComparisonOptions options, StreamDigests& source, StreamDigests& target, Wait wait);

  /// Once. Blocks by `wait`.
  Status run();
  const ComparisonReport& report() const { return report_; }
  /// The first `max` of the missing messages, by the source's sequences.
  Result<std::vector<StreamSeq>> list_missing(uint64_t max);
  /// What the target holds in a wrong place, as it is now, by its own sequences, rising.
  /// kNotFound: the source no longer has the message.
  Result<std::vector<HeldCopy>> copies_of(const ComparisonReport::WrongPlace& place);

 private:
  using Parts = std::map<uint64_t, RangePart>;
  /// A range in which the sides differ, and where in either stream its messages are.
  struct Node {
    SequenceRange range{};
    uint64_t span = 1;
    SequenceRange source_own{}, target_own{};
  };
  struct Answers {
    DigestAnswer source, target;
  };
  DigestRequest of_source(SequenceRange range, uint64_t span, SequenceRange own) const;
  DigestRequest of_target(SequenceRange range, uint64_t span, SequenceRange own) const;
  Result<Answers> ask(std::optional<DigestRequest> source, std::optional<DigestRequest> target);
  Result<RangePart> ask_single(StreamSeq seq, bool of_the_source, SequenceRange own);
  Result<DigestAnswer> ask_page(StreamDigests& side, DigestRequest request);
  void note_target(const DigestAnswer& whole);
  SequenceRange compared() const;
  Status compare_trees();
  Status compare_border(const Node& part, SequenceRange inside);
  Status count_outside(SequenceRange outside, SequenceRange own, uint64_t& counter);
  Status walk();
  void compare_parts(const Node& node, const Parts& source, const Parts& target);
  bool settle(SequenceRange range, const RangePart* source, const RangePart* target);
  void settle_single(StreamSeq seq, const RangePart& source, const RangePart& target);
  void add_run(Node& run, const SequenceRange& range, const RangePart& source, const RangePart& target);
  void push_run(Node& run, uint64_t span, uint64_t parts);
  Status compare_sampled();
  Status compare_listed(const Parts& listed);
  void finish();

  const ComparisonOptions options_;
  StreamDigests& source_;
  StreamDigests& target_;
  const Wait wait_;
  ComparisonReport report_;
  StreamSeq oldest_copy_;
  std::vector<Node> open_;
};

/// Words for people, one line each.
std::string describe(const ComparisonReport& report);

}  // namespace sluice
