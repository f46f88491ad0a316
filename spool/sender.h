// Takes messages from the queue to the other end, over any NatsLink: a gateway's choria_submission adapter, or
// a stream itself.
//
// Happy path: the head of each priority's reliable lane is published with a reply subject, one at a time; the
// ack removes it and the next one goes. Plain messages are published as they come and removed.
// Failures: while the link is down nothing is tried and nothing counted. A refusal by a stream counts one try;
// silence counts one only when the server itself proves to be alive (a probe to our own inbox), as a message that
// we may not publish is answered by silence; nobody at the other end counts as options.no_responders says. Then
// the lane waits (Choria's back-off, 0.25 … 7.5 s) and its head blocks what is behind it: order is never broken.
// At max_tries the head goes to the quarantine. A missing or unreadable seed holds the lane, and counts nothing.
// Loop thread only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/ticket.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "spool/options.h"
#include "spool/outgoing.h"
#include "spool/queue.h"

namespace sluice {

class SpoolSender {
 public:
  struct Figures {
    uint64_t acked = 0, already_there = 0, published = 0;
    uint64_t refused = 0, silent = 0, no_responders = 0, interrupted = 0, unsignable = 0;
  };
  /// Why a lane's head waits; empty = it does not.
  struct LaneTrouble {
    uint8_t priority = 0;
    std::string text;
    std::chrono::nanoseconds since{0};
  };

  /// `queue`, `link` and `client` (on that link) outlive it. Takes the queue's on_change.
  SpoolSender(Env& env, SpoolQueue& queue, NatsLink& link, StreamClient& client, SpoolSenderOptions options);
  SpoolSender(const SpoolSender&) = delete;
  SpoolSender& operator=(const SpoolSender&) = delete;
  ~SpoolSender();

  /// Begins to send. Not before a folder's files have been looked at (SpoolFolder::start).
  void start();
  bool can_sign() const { return !options_.seed_file.empty(); }
  const Figures& figures() const { return figures_; }
  bool connected() const { return link_.state() == LinkState::kConnected; }
  std::string peer() const { return link_.peer(); }
  std::vector<LaneTrouble> troubles() const;
  void collect(MetricSink& sink) const;

 private:
  struct Lane {
    SpoolPlace head{};      ///< of the one under way
    bool busy = false;
    int failures = 0;       ///< in a row, of this head
    bool waits = false;     ///< until the timer fires
    std::unique_ptr<Timer> timer;
    Ticket call;
    std::string trouble;
    MonoTime trouble_since{};
  };

  void pump();
  void pump_reliable(uint8_t priority);
  void pump_plain(uint8_t priority);
  void send(Lane& lane, const QueuedEntry& next);
  Result<std::optional<SpoolSigner>> signer_for(const Submission& submission);
  void answered(uint8_t priority, const Result<PubAck>& answer);
  void failed(uint8_t priority, bool counts, std::string why);
  void hold(Lane& lane, std::string why);
  void probe(uint8_t priority);
  void again(uint8_t priority);
  void pump_later();

  Env& env_;
  SpoolQueue& queue_;
  NatsLink& link_;
  StreamClient& client_;
  SpoolSenderOptions options_;
  std::array<Lane, kSpoolPriorities> lanes_;
  std::string probe_subject_;
  std::unique_ptr<LinkSubscription> probes_;
  uint32_t probing_ = 0;  ///< bit n: priority n waits for the probe
  std::unique_ptr<Timer> probe_timer_;
  std::unique_ptr<Timer> plain_timer_;
  Ticket state_listener_;
  bool started_ = false;
  bool pump_posted_ = false;
  Figures figures_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
