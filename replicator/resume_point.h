// Where a copy goes on: asks both ends, and weighs what the target, the position file and the source say.
//
// The target decides: its newest message carries our mark and the position as of then. When that message is not
// ours, others write there too, and all that lies beyond the remembered place is looked through for marks of
// ours. The file wins only while the target has taken nothing since it was written (then it also knows of
// messages that were passed without being copied). What the target counts beyond that and does not hold was removed there (by its
// consumers, when it is a queue), or lost with the target's power before it was acknowledged: it is written again, unless its id is
// still known.
// With a fence, its mark is put before a shared target is looked at: what an earlier session sent lies before it or is refused.
// The source is then held against that: made anew, shortened, or its front gone before it was copied.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/seq_set.h"
#include "client/stream_client.h"
#include "client/stream_reader.h"
#include "io/env.h"
#include "replicator/copy_fence.h"
#include "replicator/options.h"
#include "replicator/position.h"
#include "replicator/provenance.h"
#include "subject/subject_rewrite.h"
#include "replicator/target_config.h"

namespace sluice {

/// What was found and how to begin.
struct ResumePlan {
  CopyPosition position;
  /// false: the start is a time, the first message read tells its sequence.
  bool is_anchored = true;
  WallNanos start_time = 0;
  StreamFigures source;
  StreamFigures target;
  std::chrono::nanoseconds source_trip{0};  ///< how long each took to answer
  std::chrono::nanoseconds target_trip{0};
  SeqSet on_target;      ///< beyond the position, written by us already (shared targets)
  /// Of those the newest of each subject at the target: what lies before it there was decided, and is not written behind it.
  std::unordered_map<std::string, uint64_t> newest_on_target;
  StreamSeq fence;       ///< where our mark stands on a shared target; zero = there is none
  std::string gap;       ///< in words, when something vanished before it was copied; empty = nothing
};

/// Loop thread only. One question after the other; destroying it asks no more.
class ResumePoint {
 public:
  struct Known {
    std::optional<CopyPosition> remembered;
    bool begin_anew = false;   ///< by the start settings, whatever was copied
    std::optional<StreamSeq> begin_at;  ///< at this source message, whatever was copied
    bool look_at_config = false;
    CopyFence* fence = nullptr;  ///< of a target that others write to; null = by the options there is none
  };
  struct Events {
    std::move_only_function<void(ResumePlan)> on_found;
    /// Goes on by itself later.
    std::move_only_function<void(const std::string& why)> on_failed;
    /// Needs a person.
    std::move_only_function<void(const std::string& why)> on_blocked;
    std::move_only_function<void(const std::vector<ConfigDifference>&)> on_differences;
  };
  ResumePoint(Env& env, StreamClient& source, StreamClient& target, const StreamCopyOptions& options,
              const SubjectRewrite& rewrite, Provenance copy, Known known, Events events);
  ~ResumePoint();

  void ask();

 private:
  struct Found {
    CopyPosition record;                    ///< the newest
    std::map<uint64_t, std::string> marks;  ///< beyond it, with the target's subject
  };
  void on_source(Result<StreamFigures> info);
  void on_target(Result<StreamFigures> info);
  void read_source_config(std::move_only_function<void(const std::string&)> then);
  void create_target(const std::string& source_info);
  void compare_configs(const std::string& source_info);
  void weigh();
  bool is_known_as_shared() const;
  void put_fence();
  bool is_into_queue() const { return plan_.target.retention != StreamRetention::kLimits; }
  bool is_ordered_anew() const { return known_.begin_anew || known_.begin_at; }
  void on_target_last(Result<StoredCopy> last);
  void scan_target(StreamSeq after, StreamSeq last);
  void on_scanned(const ConsumedMessage& message);
  void look_at_scan();
  void scan_done();
  void take_marks(const Found& life, StreamSeq after);
  bool waits_for_start(const CopyPosition& position) const;
  void count_what_was_taken(CopyPosition& position);
  void begin_fresh(CopyPosition base, bool by_start_settings);
  void go_on_at(CopyPosition position);
  bool pass_vanished_front(CopyPosition& position);
  void found();

  Env& env_;
  StreamClient& source_;
  StreamClient& target_;
  const StreamCopyOptions& options_;
  const SubjectRewrite& rewrite_;
  const Provenance copy_;
  Known known_;
  Events events_;
  ResumePlan plan_;
  bool seen_as_shared_ = false;
  MonoTime asked_{0};
  // Of a scan:
  std::map<WallNanos, Found> scanned_;  ///< by the source's life
  StreamSeq scan_end_;
  StreamSeq scan_until_;  ///< less when the target lost its end meanwhile
  StreamSeq scanned_to_;
  std::unique_ptr<Timer> scan_timer_;
  std::unique_ptr<StreamReader> scan_;
  std::unique_ptr<Timer> later_;
  Ticket step_;
};

}  // namespace sluice
