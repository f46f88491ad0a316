// A durable consumer that is made when it is missing and pulled from, for as long as this lives: a stream
// that is away or a consumer that was deleted is tried again every few seconds.
//
// Order: what was delivered and never arrived comes again only after ack_wait, behind newer messages. That is so at a
// beginning, and whenever the number of a delivery is not the next one: some were lost with a connection or with the
// consumer's leader. Then everything newer is kept until those are there (or twice ack_wait has passed: some may be
// gone from the stream), and handed on by sequence. Who shares the consumer with others has no order to keep: that
// shows by numbers that go on jumping, and then nothing is kept.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

struct DurablePullOptions {
  std::string stream;
  std::string consumer;
  std::string filter_subject{};  ///< empty = all
  bool from_start = true;        ///< else what comes after the consumer is made
  std::chrono::nanoseconds ack_wait = std::chrono::seconds(5);
  size_t window = 256;           ///< delivered and not acknowledged
};

struct PulledMessage {
  StreamSeq seq;
  WallNanos time = 0;
  std::string subject, headers, payload, ack_subject;
};

/// Loop thread only.
class DurablePull {
 public:
  DurablePull(Env& env, StreamClient& streams, DurablePullOptions options,
              std::move_only_function<void(PulledMessage)> handler);

  void pause();
  void resume();
  bool running() const { return pull_ != nullptr && !retry_timer_->active(); }
  /// The last trouble, in words.
  const std::string& trouble() const { return told_; }

 private:
  void look();
  void make();
  void pull(std::string_view info);
  void again(const Error& why);
  void on_message(const ConsumedMessage& message);
  void on_jump();
  void expect(std::string_view info);
  void hand_on();

  Env& env_;
  StreamClient& streams_;
  const DurablePullOptions options_;
  std::move_only_function<void(PulledMessage)> handler_;
  std::string told_;  ///< the last trouble in the log
  bool paused_ = false;
  uint64_t consumer_seq_ = 0;    ///< of the last delivery
  uint64_t handed_on_ = 0;       ///< highest stream sequence
  bool keeping_ = false;         ///< what is newer than that
  bool guarded_ = true;          ///< against jumps
  int jumps_ = 0;                ///< after which nothing that was lost came again
  MonoTime jumped_{};
  uint64_t expected_ = 0;        ///< messages that are to come again before anything is handed on
  uint64_t last_delivered_ = 0;  ///< they are up to this
  std::map<uint64_t, PulledMessage> kept_;  ///< until then; `window` at most
  std::unique_ptr<Timer> patience_timer_;
  std::unique_ptr<Timer> retry_timer_;
  Ticket call_;
  std::unique_ptr<PullSubscription> pull_;
};

}  // namespace sluice
