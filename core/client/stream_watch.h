// Follows a stream: first what stands there, then what comes, in order and without a gap.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

enum class WatchFrom : uint8_t {
  kAll,
  kLastOfEachSubject,
  kNew,
  kSequence,  ///< `seq`, or the first behind it
  kTime,      ///< the first at or after `time`
};

struct StreamWatchOptions {
  std::string stream{};
  std::vector<std::string> filters{};  ///< subjects, wildcards allowed; empty = all, but kLastOfEachSubject needs one
  WatchFrom from = WatchFrom::kAll;
  StreamSeq seq{};
  WallNanos time = 0;
  bool headers_only = false;
  size_t window = 256;  ///< messages asked for ahead
};

struct StreamWatchEvents {
  std::move_only_function<void(const ConsumedMessage&)> on_message{};
  /// Once: all that stood there at the beginning was told.
  std::move_only_function<void()> on_current{};
  /// The stream is gone or may not be read; nothing comes any more.
  std::move_only_function<void(const Error&)> on_trouble{};
};

/// Happy path: an ephemeral pull consumer without acks; the numbers of its messages leave no hole, and the
/// one with nothing behind it ends the beginning. What was to come may be removed before it came: in a silence the consumer
/// is asked what still waits.
///
/// Failures: a hole in the numbers, a consumer that is gone or silent, a broken connection → another
/// consumer from behind the last message told, with back-off; nothing is told twice.
/// Loop thread only. Callbacks may destroy the watch.
class StreamWatch {
 public:
  /// `client` outlives the watch.
  StreamWatch(Env& env, StreamClient& client, StreamWatchOptions options, StreamWatchEvents events);
  ~StreamWatch();
  StreamWatch(const StreamWatch&) = delete;
  StreamWatch& operator=(const StreamWatch&) = delete;

  /// Asks for no more; up to a window may still come.
  void pause();
  void resume();

 private:
  void make_consumer();
  std::string consumer_request() const;
  void on_made(Result<std::string> made);
  void on_message(const ConsumedMessage& message);
  void start_over();
  void look_behind();
  void on_looked(const Result<std::string>& info);
  void now_current();
  void die(const Error& why);

  Env& env_;
  StreamClient& client_;
  const StreamWatchOptions options_;
  StreamWatchEvents events_;
  std::string consumer_;
  uint64_t consumer_seq_ = 0;
  StreamSeq told_;  ///< last message told
  bool current_ = false;
  bool paused_ = false;
  bool stale_ = false;  ///< what comes still is of a consumer given up
  int failures_ = 0;
  std::unique_ptr<Timer> retry_timer_;
  std::unique_ptr<Timer> silence_timer_;  ///< of the beginning
  Ticket call_;
  Ticket look_;
  std::unique_ptr<PullSubscription> pull_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
