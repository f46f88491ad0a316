// A pull consumer's side of the wire: keeps requests open so that the server always has some room
// to deliver into, and notices when the server no longer answers (ADR-9, ADR-13, ADR-37).
#pragma once

#include <memory>
#include <string>

#include "base/headers.h"
#include "client/stream_client.h"

namespace sluice {

struct PullOptions {
  std::string next_subject;  ///< <api prefix>.CONSUMER.MSG.NEXT.<stream>.<consumer>
  size_t window = 256;       ///< messages asked for and not yet delivered
  size_t window_bytes = 0;   ///< their bytes, in two requests of half as many; 0 = no bound
  std::chrono::nanoseconds expires = std::chrono::seconds(30);
  std::chrono::nanoseconds heartbeat = std::chrono::seconds(5);
};

/// Happy path: one request for the whole window; when half of it has been delivered the next
/// request fills it up. With a window of bytes: two requests of half as many, so that the next one is there when the
/// server closes one as full. A message larger than that is asked for alone. Each request has an inbox of its own below one wildcard subscription, so a
/// status tells which request it ends.
///
/// Failures, mildest first: a request expires → another one. The server moves, stops or is too busy
/// → all is asked for again after a short pause. Two heartbeats missed, or a reconnect → asked for
/// again at once. Missed twice in a row, nobody there four times in a row, or a status that does
/// not pass by itself → `trouble`, dead.
class PullLoop final : public PullSubscription {
 public:
  PullLoop(Env& env, NatsLink& link, PullOptions options,
           std::move_only_function<void(const ConsumedMessage&)> handler,
           std::move_only_function<void(const Error&)> trouble);

  void pause() override;
  void resume() override;

 private:
  void on_message(const LinkMessage& message);
  void on_status(const HeaderStatus& status, const LinkMessage& message);
  void on_conflict(const HeaderStatus& status, const LinkMessage& message);
  void on_link_state(LinkState state);
  void on_heartbeat_timer();
  /// Forgets the open requests; late statuses of theirs are ignored.
  void forget_requests();
  void refill();
  void retry_later();
  void give_back(const LinkMessage& message);
  bool has_enough_open() const;
  /// False: not now.
  bool ask(size_t batch, size_t most_bytes);
  /// Last act: the callback may destroy this.
  void die(Error why);

  Env& env_;
  NatsLink& link_;
  const PullOptions options_;
  std::move_only_function<void(const ConsumedMessage&)> handler_;
  std::move_only_function<void(const Error&)> trouble_;
  const std::string inbox_prefix_;
  uint64_t next_request_ = 0;
  uint64_t first_valid_request_ = 0;
  size_t outstanding_ = 0;  ///< asked for and not delivered, as far as we know
  size_t outstanding_bytes_ = 0;
  bool delivered_ = false;   ///< since the last request that was closed as full
  bool too_large_ = false;   ///< the next message does not fit into a request
  MonoTime last_heard_{};
  int missed_ = 0;
  int unanswered_ = 0;
  bool paused_ = false;
  bool dead_ = false;
  std::unique_ptr<Timer> heartbeat_timer_;
  std::unique_ptr<Timer> retry_timer_;
  Ticket state_listener_;
  std::unique_ptr<LinkSubscription> subscription_;
};

}  // namespace sluice
