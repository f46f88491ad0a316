// Reads one stream in order through a consumer of its own, made for this and deleted afterwards.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

struct ReadPlan {
  std::string stream;
  std::vector<std::string> filters{};
  WallNanos created = 0;      ///< of the stream; another one of the same name is not read. 0 = any
  StreamSeq first{};          ///< first sequence wanted; zero = from start_time
  WallNanos start_time = 0;
  bool headers_only = false;
  size_t window_messages = 1000;  ///< asked for ahead
  size_t window_bytes = 0;        ///< and their bytes; 0 = no bound
  std::string consumer_prefix;    ///< of its name, for people who list consumers
  std::string description{};
};

/// Loop thread only. Ack-none: what was read is known by the position, not by the server.
///
/// Failures: a delivery that is missing (the consumer numbers what it sends), a consumer that can't be made or
/// is gone → on_trouble, once; then this is dead. Deliveries that come twice are left out. What went down with a
/// connection would be missed only by the next delivery, which may be long in coming: when the link is back the
/// consumer is asked how far it had delivered.
class StreamReader {
 public:
  struct Events {
    std::move_only_function<void(const ConsumedMessage&)> on_message;
    /// The reader is on the stack: whoever hears this destroys it later.
    std::move_only_function<void(const std::string& why)> on_trouble;
  };
  StreamReader(Env& env, StreamClient& client, ReadPlan plan, Events events);
  ~StreamReader();
  StreamReader(const StreamReader&) = delete;
  StreamReader& operator=(const StreamReader&) = delete;

  void start();
  /// Asks for no more until resume(); what is on its way still comes.
  void pause();
  void resume();
  uint64_t repeated() const { return repeated_; }

 private:
  void on_made(const Result<std::string>& reply);
  void on_looked_at(const Result<StreamFigures>& stream);
  void pull();
  void on_message(const ConsumedMessage& message);
  void on_link_state(LinkState state);
  void ask_what_was_sent();
  void look_for_lost();
  void trouble(const std::string& why);

  Env& env_;
  StreamClient& client_;
  const ReadPlan plan_;
  Events events_;
  std::string consumer_;
  bool made_ = false;
  bool paused_ = false;
  bool dead_ = false;
  StreamSeq last_read_;
  ConsumerSeq last_delivery_;
  uint64_t repeated_ = 0;
  ConsumerSeq sent_;  ///< by the consumer, when the link came back
  Ticket create_;
  Ticket asking_;
  Ticket state_listener_;
  std::unique_ptr<Timer> lost_timer_;
  std::unique_ptr<PullSubscription> pull_;
};

}  // namespace sluice
