// Copies one stream to one target: in order, each message once, whoever is killed when.
//
// Happy path: ResumePoint asks both ends where they stand; a StreamReader reads the source from there; each
// message is decided upon (copied, left out, too old) and takes its place in the TargetWriter's line;
// what settles at the line's head moves position and ledger.
// Failures: whatever goes wrong (a lost ack, a gap in the delivery, a cut link, a fence that does not hold
// because an older connection's bytes arrived late) ends the session; after a pause the copier asks
// again and goes on behind what the target holds. What it can't decide is told in figures() as blocked.
// A message that the target itself refuses is tried max_tries times, then goes to the dead-letter subject
// if there is one; else the copy waits, and says so.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/copy_fence.h"
#include "replicator/lag_watch.h"
#include "replicator/limiter.h"
#include "replicator/options.h"
#include "replicator/pace.h"
#include "replicator/position.h"
#include "replicator/resume_point.h"
#include "replicator/source_reader.h"
#include "subject/subject_rewrite.h"
#include "replicator/target_writer.h"

namespace sluice {

enum class CopyState : uint8_t {
  kStopped,
  kPaused,     ///< by a person, another one leads, or what sampling knows is being read
  kLocating,   ///< asking both ends where they stand
  kCopying,
  kBackingOff, ///< a session ended; the next begins by itself
  kBlocked,    ///< needs a person; looked at again every 30 s
};
const char* to_string(CopyState state);

struct CopyFigures {
  CopyState state = CopyState::kStopped;
  CopyPosition position;       ///< with the ledger
  uint64_t copied_bytes = 0;   ///< of this process, as the rest
  uint64_t skipped_bytes = 0;  ///< of payloads left out
  uint64_t read_bytes = 0;
  uint64_t copied = 0;
  uint64_t skipped = 0;        ///< sampled
  uint64_t expired = 0;
  uint64_t repeated = 0;       ///< delivered again by the source and left out
  uint64_t sessions = 0;       ///< times it asked where both ends stand
  uint64_t renamed_ids = 0;    ///< messages whose Nats-Msg-Id met another one inside the target's window
  uint64_t fence_refused = 0;  ///< sessions that ended because our mark on the target stood no more
  uint64_t gaps = 0;           ///< times that source messages vanished before they were copied
  std::string last_gap;
  uint64_t failures = 0;       ///< sessions that ended by themselves
  std::string last_error;
  uint64_t processed = 0;      ///< messages settled, with whatever outcome
  double processing_seconds = 0;    ///< summed over them: from reading each to settling it
  double last_latency_seconds = 0;  ///< from the source's store to the target's ack
  std::vector<ConfigDifference> config_differences;
  size_t in_flight = 0;
  size_t waiting = 0;
  size_t window_bytes = 0;
  uint64_t sent_bytes = 0;     ///< given to the target's link: subjects, headers, payloads
  uint64_t pace_rate = 0;      ///< bytes a second that are allowed now; 0 = no bound
  LinkTraffic source_link;     ///< all that went over these connections, in this process
  LinkTraffic target_link;
};

/// Loop thread only. The clients must outlive it.
class StreamCopy {
 public:
  struct Sites {
    StreamClient& source;
    StreamClient& target;
    StreamClient& control;  ///< the source by a connection of its own
  };
  StreamCopy(Env& env, StreamCopyOptions options, std::string replicator_name, std::string state_dir, Sites sites,
             std::unique_ptr<Limiter> limiter = nullptr);
  ~StreamCopy();

  /// kInvalidArgument for a subject transform that can't be, or a time zone that isn't. `is_leading` false: waits for set_leading().
  Status start(bool is_leading = true);
  /// Takes nothing more, waits up to 2 s for what is on its way, writes the position, reports once.
  void stop(std::move_only_function<void()> done);

  /// `token` of the term that begins; 0 = nobody is elected.
  void set_leading(bool leads, uint64_t token = 0);
  /// Asked before each write; false: the term may run out before it arrives.
  void set_proof(std::function<bool()> may_write) { may_write_ = std::move(may_write); }
  void set_paused(bool paused);
  /// false: sampling does not yet know what was copied before.
  void set_ready(bool ready);
  /// Copies anew from this source message; nullopt = by the start settings.
  void reset(std::optional<StreamSeq> from);

  const CopyFigures& figures();
  const LagFigures& lag() const { return lag_.figures(); }
  const StreamCopyOptions& options() const { return options_; }
  Limiter* limiter() { return limiter_.get(); }
  bool paused_by_person() const { return paused_; }
  bool leads() const { return leads_; }

 private:
  struct Read {
    StreamSeq seq;
    WallNanos time = 0;
    std::string subject, headers, payload;
  };
  struct GapCounts {
    uint64_t filtered = 0, removed = 0, purged = 0;
  };

  bool should_run() const { return started_ && !stopped_ && !paused_ && leads_ && ready_; }
  void run_or_rest();
  void locate();
  void begin(ResumePlan plan);
  std::string why_no_queue(const ResumePlan& plan) const;
  void read_source(const ResumePlan& plan);
  void on_message(const ConsumedMessage& message);
  void classify_held();
  void on_first_of_source(const Result<StreamFigures>& info);
  uint64_t take_marks(uint64_t first, uint64_t end, GapCounts& gap);
  void take(Read message, GapCounts gap);
  Outcome decide(const Read& message, CopyItem& item);
  Outcome choose(const Read& message, CopyItem& item);
  bool is_followed_on_target(const Read& message) const;
  std::optional<Outcome> reason_to_leave_out(const Read& message) const;
  Outcome note_verdict(uint64_t seq, Limiter::Verdict verdict, std::string& value);
  void forget_chosen(uint64_t first, uint64_t end, bool were_copied);
  void address(CopyItem& item, Read message);
  void on_settled(const CopyItem& item, StreamSeq target_seq);
  void on_progress();
  void on_failed(const WriteFailure& failure);
  void pass_nothing(StreamSeq through);
  void note_gap(const std::string& gap);
  void end_session(const std::string& why);
  void block(const std::string& why);
  void drop_session();
  void schedule_position_write();
  void write_position_now();
  std::chrono::nanoseconds position_interval() const;
  void finish_stop();
  size_t read_window_bytes(std::chrono::nanoseconds source_trip) const;
  std::string position_file() const { return options_.id() + ".position"; }

  Env& env_;
  StreamCopyOptions options_;
  const Provenance copy_;        ///< the words of our marks
  std::string state_dir_;
  Sites sites_;
  std::unique_ptr<Limiter> limiter_;
  Logger log_{"replicator"};
  SubjectRewrite rewrite_;
  CopyFigures figures_;

  bool started_ = false;
  bool leads_ = true;
  bool paused_ = false;
  bool ready_ = true;
  std::function<bool()> may_write_;  ///< empty = always
  std::unique_ptr<CopyFence> fence_; ///< null = none
  bool one_fenced_ = false;          ///< the target was seen to look at one fenced message at a time
  std::optional<Pace> pace_;     ///< across sessions: a new one must not begin without debt
  std::unique_ptr<DiskWorker> worker_;
  std::optional<CopyPosition> remembered_;  ///< from the position file, or of the last session
  bool begin_anew_ = false;
  std::optional<StreamSeq> begin_at_;
  bool position_dirty_ = false;
  bool position_writing_ = false;
  StreamSeq written_;  ///< source sequence of the position on disk

  // Of one session:
  CopyPosition ahead_;           ///< position once all that was read has settled
  bool is_anchored_ = true;
  uint64_t target_attempt_id_ = 0;  ///< makes a fresh id that no earlier attempt had
  SeqSet on_target_;
  std::unordered_map<std::string, uint64_t> newest_on_target_;
  uint64_t last_on_target_ = 0;
  std::deque<Read> held_;        ///< read, waiting until a gap before them is understood
  std::deque<MonoTime> taken_at_;  ///< of what stands in the writer's line
  bool asking_first_ = false;
  bool is_queue_ = false;        ///< the source: its messages are acknowledged once the position is on disk
  bool is_into_queue_ = false;   ///< the target
  bool reading_paused_ = false;

  // Across sessions:
  uint64_t sent_before_bytes_ = 0;  ///< by writers of earlier ones
  std::map<uint64_t, std::string> chosen_;  ///< beyond the position: judged, and to be copied; with the value
  std::set<std::string> vanished_;          ///< values whose chosen message went: the next one up to judged_through_ is judged anew
  uint64_t judged_through_ = 0;
  std::optional<StreamSeq> rename_;  ///< source message whose Msg-Id collides on the target
  StreamSeq rename_through_;         ///< copied anew: the target may know all ids up to here
  StreamSeq singly_through_;         ///< source messages up to here go in no batch: one was refused
  StreamSeq refused_;
  uint32_t refusals_ = 0;
  std::string refusal_;
  std::chrono::nanoseconds back_off_{0};
  bool config_looked_at_ = false;
  std::move_only_function<void()> stopped_;

  std::unique_ptr<Timer> retry_timer_;
  std::unique_ptr<Timer> position_timer_;
  std::unique_ptr<Timer> stop_timer_;
  LagWatch lag_;
  Ticket source_state_;
  Ticket target_state_;
  Ticket first_of_source_;
  std::unique_ptr<ResumePoint> resume_;
  std::unique_ptr<TargetWriter> writer_;
  std::unique_ptr<SourceReader> reader_;
};

}  // namespace sluice
