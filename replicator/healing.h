// What `sluice verify --heal` does to a copy that differs from its source.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "client/stream_client.h"
#include "subject/subject_rewrite.h"

namespace sluice {

/// A message of the target that is marked as a copy of some source message.
struct HeldCopy {
  StreamSeq own{};     ///< at the target
  bool right = false;  ///< it holds what the source's message holds
  bool operator==(const HeldCopy&) const = default;
};

/// Calls block.
class HealSource {
 public:
  virtual ~HealSource() = default;
  virtual Result<StoredCopy> message(StreamSeq seq) = 0;
};

class HealTarget {
 public:
  virtual ~HealTarget() = default;
  /// kNotFound when there is none.
  virtual Result<StoredCopy> last_message(const std::string& subject) = 0;
  virtual Result<PubAck> publish(const LinkMessage& message) = 0;
  /// By the target's own sequence; one that has gone is no error.
  virtual Status remove(StreamSeq own) = 0;
};

struct HealOptions {
  std::string source_stream{};
  std::string target_stream{};
  bool keeps_newest_of_subject = false;  ///< the target has a limit for each subject
  SubjectRewrite rewrite{};              ///< as the copy does it
  /// The copy's, when only its marks count; what is healed then bears `<worker>.heal` of that replicator, else `sluice heal`.
  std::string replicator{};
  std::string worker{};
  bool dry_run = false;                  ///< nothing is changed; the report tells what would be
  std::function<void(uint64_t done, uint64_t all)> progress{};
};

struct HealWork {
  std::vector<StreamSeq> missing{};
  /// Places with other contents, or with more than one message.
  struct Wrong {
    StreamSeq seq{};
    std::vector<HeldCopy> copies{};  ///< rising
  };
  std::vector<Wrong> wrong{};
};

struct HealReport {
  uint64_t healed = 0;   ///< written at the target's end
  uint64_t removed = 0;  ///< of the target's messages
  /// What was (or would be) removed, by the target's own sequences; the first kMaxListed.
  std::vector<StreamSeq> removed_seqs{};
  std::vector<std::pair<StreamSeq, std::string>> left{};  ///< not healed, by the source's sequences, and why
  std::optional<Error> ended{};  ///< going on made no sense; what was done until then stays

  static constexpr size_t kMaxListed = 100;
};

/// One message after the other, each acknowledged before the next. Missing ones are read at the source and written under the
/// same (rewritten) subject. In a wrong place the first right copy stays; where there is none one is written, and only when that
/// is stored everything else of that place is removed. So nothing is ever removed before its right copy is there, and a run
/// that is cut off leaves at most one message too many, which the next run removes.
///
/// Left out, with words: what would act once more, what would become the latest of its subject at the place of a newer one,
/// what the target knows already, what it refuses, what has gone at the source. Ends early: no connection, a subject that is another
/// stream's, kMaxRefusedInARow refusals (it is full, say), a message that can't be removed.
class Healing {
 public:
  static constexpr uint64_t kMaxRefusedInARow = 16;
  Healing(HealOptions options, HealSource& source, HealTarget& target)
      : options_(std::move(options)), source_(source), target_(target) {}
  HealReport run(const HealWork& work);

 private:
  /// @return whether its right copy is at the target now; an error ends all.
  Result<bool> bring(StreamSeq seq);
  Result<bool> would_push_aside(const StoredCopy& original, const std::string& subject);
  /// @return why it was not written; empty = it was.
  Result<std::string> write(const LinkMessage& message);
  Status mend(const HealWork::Wrong& place);
  Status remove(StreamSeq own);
  bool leave(StreamSeq seq, std::string why);

  const HealOptions options_;
  HealSource& source_;
  HealTarget& target_;
  HealReport report_;
  uint64_t refused_in_a_row_ = 0;
};

}  // namespace sluice
