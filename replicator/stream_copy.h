// Copies one stream to one target: in order, each message once, whoever is killed when.
//
// Happy path: locate() asks both ends where they stand; a fresh ack-none consumer reads the source from
// there; each message is published with the fence Nats-Expected-Last-Sequence, a window of them on
// the way at once; PubAcks move the position.
// Failures: whatever goes wrong (a lost ack, a gap in the delivery, a cut link, a fence that does not
// hold because an older connection's bytes arrived late) ends the session; after a pause the copier
// asks the target again what it holds and goes on behind that. The target's newest message, with
// its provenance header, *is* the position: it is stored with the data or not at all. When that message
// was removed there, the position file and the count of messages since give the same answer.
// What can't be decided (a target written by others, a source that was made anew) stops this copy with
// a clear error in figures(); nothing is guessed.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/options.h"
#include "replicator/position.h"

namespace sluice {

enum class CopyState : uint8_t {
  kStopped,
  kLocating,   ///< asking both ends where they stand
  kCopying,
  kBackingOff, ///< a session ended; the next begins by itself
  kBlocked,    ///< needs a person; looked at again every 30 s
};
const char* to_string(CopyState state);

struct CopyFigures {
  CopyState state = CopyState::kStopped;
  StreamSeq source_seq;        ///< newest source message known to be on the target
  StreamSeq target_seq;
  uint64_t read = 0;           ///< messages taken from the source
  uint64_t copied = 0;         ///< acknowledged by the target
  uint64_t copied_bytes = 0;
  uint64_t repeated = 0;       ///< delivered again by the source and left out
  uint64_t sessions = 0;       ///< times it located itself
  uint64_t renamed_ids = 0;    ///< messages whose Nats-Msg-Id met another one inside the target's window
  std::optional<uint64_t> lag; ///< messages behind the source's end, by an independent look; none = unknown
  std::string last_error;
};

/// Loop thread only. The clients must outlive it.
class StreamCopy {
 public:
  StreamCopy(Env& env, const StreamCopyOptions& options, std::string replicator_name,
             std::string state_dir, StreamClient& source, StreamClient& target);
  ~StreamCopy();

  void start();
  /// Takes nothing more, waits up to 2 s for what is on its way, writes the position, reports once.
  void stop(std::move_only_function<void()> done);
  const CopyFigures& figures() const { return figures_; }
  const StreamCopyOptions& options() const { return options_; }

 private:
  struct Waiting {
    StreamSeq source_seq;
    std::string subject, headers, payload;
    size_t bytes() const { return subject.size() + headers.size() + payload.size(); }
  };
  struct InFlight {
    StreamSeq source_seq;
    StreamSeq target_seq;
    size_t bytes = 0;
    bool acked = false;
    Ticket ticket;
  };

  void locate();
  void on_source_info(Result<StreamFigures> info);
  void on_target_info(Result<StreamFigures> info);
  void create_target();
  void on_target_last(Result<StoredCopy> last);
  void begin_at(const CopyPosition& known);
  void on_consumer(Result<std::string> name);
  void on_message(const ConsumedMessage& message);
  void publish(const Waiting& message);
  void on_published(uint64_t session, StreamSeq target_seq, Result<PubAck> ack);
  void advance();
  void pump();
  bool window_full() const;
  void end_session(const std::string& why);
  void block(const std::string& why);
  void drop_session();
  void schedule_position_write();
  void write_position_now();
  void finish_stop();
  void probe();

  Env& env_;
  StreamCopyOptions options_;
  std::string replicator_name_;
  std::string state_dir_;
  StreamClient& source_;
  StreamClient& target_;
  Logger log_{"replicator"};
  CopyFigures figures_;

  std::unique_ptr<DiskWorker> worker_;
  CopyPosition position_;                 ///< newest pair known to be durable on the target
  std::optional<CopyPosition> remembered_;///< from the position file
  bool position_dirty_ = false;
  bool position_writing_ = false;

  uint64_t session_ = 0;
  StreamFigures source_info_;
  StreamFigures target_info_;
  std::string consumer_;
  StreamSeq last_read_;
  ConsumerSeq last_delivery_;
  uint64_t to_skip_ = 0;                  ///< source messages known to be on the target although it lost them since
  StreamSeq next_target_;                 ///< sequence the next publish will get
  std::optional<StreamSeq> rename_;       ///< source message whose Msg-Id collides on the target
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  std::deque<InFlight> in_flight_;
  size_t in_flight_bytes_ = 0;
  std::chrono::nanoseconds back_off_{0};
  bool paused_ = false;
  std::move_only_function<void()> stopped_;

  std::unique_ptr<Timer> retry_timer_;
  std::unique_ptr<Timer> position_timer_;
  std::unique_ptr<Timer> probe_timer_;
  std::unique_ptr<Timer> stop_timer_;
  Ticket source_state_;
  Ticket target_state_;
  Ticket step_;                           ///< the one request of locate() under way
  Ticket probe_step_;
  std::unique_ptr<PullSubscription> pull_;
};

}  // namespace sluice
