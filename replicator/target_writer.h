// Writes one session's copies to the target, many at once, and settles them in the source's order.
//
// Happy path: each message gets its place in a line; the first ones in the line, a window of them, are published
// without waiting; whatever stands at the head and is acknowledged, or needed no writing, is settled.
// Exclusive target: each publish carries Nats-Expected-Last-Sequence, one more than the one before, so nothing is
// taken twice or out of order, whatever arrives late from a connection that broke. When another writer takes such a
// place, the ones behind would still fit: so each also names the message before it (Nats-Expected-Last-Msg-Id), and
// where there is no id to name, it waits for the one before it.
// What an earlier session sent and the target does not hold was taken by it and has gone (a queue gave it to its consumers),
// or was lost with its power. So it is first asked for those ids, many at once, in a way that stores nothing; from the first
// on that it does not know, all is written.
// Shared target: that fence can't hold, but a mark of ours can stand on a subject of its own (copy_fence), which fences whatever an
// earlier session or a stale leader sent; of each subject one message is on its way at a time, which keeps
// the order there, and a duplicate is looked at before it is believed. Where the target takes atomic batches (ADR-50),
// what has gathered behind a subject that repeats goes in one, whose messages come all and in order or not at all.
// Where the copier is elected, nothing is sent that could arrive when its term has run out: its clock says so before the loop does.
//
// Failures: the first one is told (on_failed) and the writer is dead; where the target stands has to be
// asked anew.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/copy_item.h"
#include "replicator/copy_window.h"
#include "replicator/pace.h"
#include "replicator/position.h"
#include "replicator/provenance.h"

namespace sluice {

struct WriteFailure {
  enum class Kind : uint8_t {
    kNoAnswer,   ///< nobody there, cut off, timed out, or full for now
    kMovedOn,    ///< the fence did not hold: the target has got something else
    kRefused,    ///< the target will not have this very message
    kDuplicate,  ///< its Nats-Msg-Id belongs to another message on the target
    kElsewhere,  ///< another stream took it
    kFenced,     ///< our mark on a shared target stands no more: another one copies, or the target's limits took it
    kFenceBusy,  ///< a replicated target looks at one fenced message at a time
    kBatch,      ///< the batch that ends with it was refused, for the sake of whichever message: they go one by one
  };
  Kind kind = Kind::kNoAnswer;
  StreamSeq source_seq;
  std::string why;
};

struct WriterPlan {
  std::string target_stream;
  Provenance copy;             ///< stream, replicator, worker: what our marks look like
  WallNanos origin_created = 0;  ///< of the source stream
  StreamSeq target_last;
  StreamSeq taken_after;       ///< an id that an exclusive target knows from behind this place is that of our message
  bool shared = false;
  bool batches = false;        ///< the target takes atomic batches, of use where it is shared
  StreamSeq singly_through;    ///< source messages up to this one go in none
  bool alone = false;          ///< by configuration nobody else writes: nothing waits for want of an id
  std::string fence_subject{};   ///< on a shared target: each message is taken only while
  StreamSeq fence{};             ///< our mark stands there, which has this sequence; zero = no fence
  bool one_fenced = false;       ///< at a time
  std::function<bool()> may_write{};  ///< whether our term can be proven; empty = always
  size_t max_messages = 1000;
  size_t max_bytes = 8 * 1024 * 1024;
  std::chrono::nanoseconds idle_trip{0};  ///< to the target and back, with nothing else on its way
  Pace* pace = nullptr;        ///< outlives the writer; null = as fast as the window lets
};

/// Errors of the target's own state, not of the message: they pass, or a person ends them.
bool passes_by_itself(const Error& error);

/// Loop thread only.
class TargetWriter {
 public:
  struct Events {
    /// In the source's order. target_seq is zero for what is not on the target.
    std::move_only_function<void(const CopyItem&, StreamSeq target_seq)> on_settled;
    /// After each batch of on_settled: there may be room again.
    std::move_only_function<void()> on_progress;
    /// Everything sent is acknowledged and the next one waits for its pace, looked at again within a second: no stall.
    std::move_only_function<void()> on_paced;
    /// Once. The writer is on the stack: whoever hears this destroys it later.
    std::move_only_function<void(const WriteFailure&)> on_failed;
  };
  TargetWriter(Env& env, StreamClient& target, WriterPlan plan, Events events);

  void add(CopyItem item);
  /// Enough waits that is not yet on its way: read no more for now.
  bool is_full() const {
    return waiting_messages() >= std::clamp<size_t>(window_.max_messages() / 4, 1, kWaiting_count) || waiting_bytes_ >= most_waiting_bytes();
  }
  bool idle() const { return line_.empty(); }
  /// Drops what was not published yet; what is on its way settles.
  void drop_waiting();
  /// Of the oldest message in the line; 0 = none.
  WallNanos oldest_time() const { return line_.empty() ? 0 : line_.front().item.source_time; }
  size_t in_flight_messages() const { return in_flight_; }
  size_t waiting_messages() const { return line_.size() - published_; }
  size_t window_bytes() const { return window_.bytes(); }
  /// Subjects, headers and payloads given to the link.
  uint64_t sent_bytes() const { return sent_bytes_; }

 private:
  static constexpr size_t kWaiting_count = 4096;
  struct Place {
    CopyItem item;
    StreamSeq target_seq;
    MonoTime sent{};
    size_t bytes = 0;
    bool settled = false;
    bool is_unknown = false;  ///< the target was asked for its id, and has not got it
    Ticket ticket{};
  };

  bool must_go_alone() const;
  bool may_be_known(const CopyItem& item) const;
  void ask(Place& place, uint64_t number);
  void on_told(uint64_t number, const Result<PubAck>& ack);
  void go_back_to_unknown();
  size_t most_waiting_bytes() const;
  void pump();
  bool must_wait_for_pace();
  bool must_wait_for_proof();
  bool is_fenced() const { return plan_.shared && !plan_.fence.is_zero(); }
  void append_fence(std::string& headers) const;
  WriteFailure::Kind kind_of(const Error& error) const;
  void publish(Place& place, uint64_t number);
  void forget_text(Place& place) const;
  std::vector<size_t> gather();
  bool gathers();
  void publish_batch(const std::vector<size_t>& places);
  void on_batch_answer(uint64_t first, uint64_t last, const Result<PubAck>& ack);
  void on_its_way(Place& place);
  void on_answer(uint64_t number, Result<PubAck> ack);
  void check_duplicate(uint64_t number, StreamSeq target_seq);
  void acknowledged(uint64_t number, StreamSeq target_seq);
  void settle();
  void failed(WriteFailure::Kind kind, StreamSeq source_seq, std::string why);
  Place* find(uint64_t number);

  Env& env_;
  StreamClient& target_;
  const WriterPlan plan_;
  Events events_;
  CopyWindow window_;
  size_t window_max_bytes_;
  StreamSeq next_target_;          ///< of the next publish, on an exclusive target
  std::string last_id_;            ///< of the newest publish; empty = it had none
  std::deque<Place> line_;
  uint64_t first_number_ = 0;      ///< of the line's head; numbers rise by one
  size_t published_ = 0;           ///< of the line: already sent, or needing none
  size_t waiting_bytes_ = 0;
  size_t in_flight_ = 0;
  size_t in_flight_bytes_ = 0;
  std::unordered_set<std::string> subjects_in_flight_;  ///< shared target only
  size_t singles_ = 0;  ///< of what waits there, so many were seen to have subjects of their own
  uint64_t maybe_known_;  ///< so many messages the target may have taken already (plan_.taken_after)
  size_t asked_ = 0;          ///< of those in flight
  bool met_unknown_ = false;  ///< of what was asked: then no more is sent until all is answered
  bool dead_ = false;
  bool settling_ = false;
  uint64_t sent_bytes_ = 0;
  std::unique_ptr<Timer> pace_timer_;  ///< null without a pace
  std::unique_ptr<Timer> proof_timer_; ///< null where nobody has to prove anything
};

}  // namespace sluice
