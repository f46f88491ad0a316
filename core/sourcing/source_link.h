// One origin of one stream: asks for a push consumer there and brings what comes into the stream.
//
//   waiting ──► asking ──► copying        (stopped: for good)
//      ▲__________│___________│   no answer, a refusal, a gap, silence: the error is kept for stream info
//
// Ordered by consumer sequence: anything else than the next one begins again behind what the stream has.
// Source: ADR-59, ADR-60; the public JetStream protocol documents (flow control, heartbeats).
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/env.h"
#include "io/timers.h"
#include "sourcing/origin_port.h"
#include "sourcing/source_request.h"
#include "stream/stream.h"
#include "subject/transform.h"

namespace sluice {

struct SourcingCounters {
  uint64_t copied = 0;      ///< messages handed to their streams
  uint64_t requests = 0;    ///< consumers asked for
  uint64_t restarts = 0;    ///< began again after a gap, silence or an error
  uint64_t refused = 0;     ///< by the own stream
  uint64_t overflowed = 0;  ///< the queue of what the stream could not take was full
};

/// Owned by Sourcing; stream and port outlive it. Loop thread only.
class SourceLink {
 public:
  static constexpr std::chrono::seconds kSilence{10};
  static constexpr std::chrono::seconds kAnswerWait{30};
  static constexpr std::chrono::seconds kShortestWait{2};
  static constexpr std::chrono::seconds kLongestWait{120};

  SourceLink(Env& env, Stream& stream, OriginPort& port, CopyTarget target, const StreamSource& source,
             SourcingCounters& counters);
  ~SourceLink();
  SourceLink(const SourceLink&) = delete;
  SourceLink& operator=(const SourceLink&) = delete;

  /// Asks the origin soon.
  void start();
  /// Asks again at once if it only waits: the origin has just come into being, or its road has.
  void nudge();
  /// Ends the copying and tells the origin (nobody waits for its word).
  void stop();

  const StreamSource& source() const { return source_; }
  const std::string& key() const { return key_; }
  SourceStatus status() const;

 private:
  enum class State : uint8_t { kStopped, kWaiting, kAsking, kCopying };

  /// What came while the stream could not take it; an empty subject is a flow-control request.
  struct Held {
    StreamSeq seq;
    WallNanos time = 0;
    uint64_t pending = 0;
    std::string subject;
    std::string headers;
    std::string payload;
    std::string flow_reply;
  };
  static constexpr uint64_t kCurrent = 10;  ///< a mirror that lags less answers for its origin
  static constexpr size_t kMaxHeld_bytes = 64u << 20;
  static constexpr size_t kMaxHeld_count = 1'000'000;

  void ask();
  void send(const OriginRequest& request);
  CopyStart start_point() const;
  uint64_t last_taken() const;
  void on_answer(const Message& message);
  void accept(const OriginAnswer& answer);
  bool origin_was_remade(const OriginAnswer& answer);
  void on_refusal(const Error& error);
  bool step_down(const Error& error);
  void on_delivery(const Message& message);
  void on_control(const Message& message);
  bool in_order(const Message& message, const struct DeliveryMeta& meta);
  void offer(const Held& held, std::string_view subject, std::string_view headers, std::string_view payload);
  Status hand_over(StreamSeq seq, WallNanos time, std::string_view subject, std::string_view headers,
                   std::string_view payload);
  void hold(Held held);
  void drain();
  void answer_flow_control(std::string reply);
  void tell_whether_current();
  void on_timer();
  void begin_again(const Error& why);
  void wait_and_ask();
  void close_subscriptions();
  void post(void (SourceLink::*step)());
  std::string_view mapped(std::string_view subject);

  Env& env_;
  Stream& stream_;
  OriginPort& port_;
  SourcingCounters& counters_;
  const CopyTarget target_;
  const StreamSource source_;
  const std::string key_;
  std::vector<SubjectTransform> transforms_;
  std::shared_ptr<SourceLink*> anchor_;  ///< queued tasks hold it weakly

  State state_ = State::kWaiting;
  OriginLevel level_ = OriginLevel::kIdentity;
  std::unique_ptr<OriginPort::Subscription> answers_;
  std::unique_ptr<OriginPort::Subscription> deliveries_;
  std::string deliver_subject_;
  std::string consumer_;
  std::string identity_;
  uint64_t consumer_seq_ = 0;  ///< of the newest delivery
  uint64_t origin_seq_ = 0;    ///< of the newest delivery
  uint64_t lag_ = 0;
  bool heard_ = false;
  MonoTime heard_at_{0};
  std::optional<Error> error_;
  std::optional<Error> remade_;  ///< a mirror's origin is another stream than before
  uint32_t failures_ = 0;

  std::deque<Held> held_;
  size_t held_bytes_ = 0;
  bool draining_ = false;
  uint64_t epoch_ = 0;  ///< rises with each request: what waits for the disk belongs to one
  std::string subject_;  ///< scratch
  std::string headers_;  ///< scratch
  std::unique_ptr<Timer> timer_;  ///< back-off, wait for the answer, watch for silence
};

}  // namespace sluice
