// Direct get: reads of one stream that do not pass the API dispatcher (ADR-31).
//
// Listens on $JS.API.DIRECT.GET.<stream> and .<stream>.<subject>. Answers carry the stored headers and
// payload with Nats-Stream, Nats-Subject, Nats-Sequence, Nats-Time-Stamp appended; failures are status
// messages. An answer leaves only when what it shows is durable; what waits for that is bounded, beyond
// it 429.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/bus.h"
#include "io/env.h"
#include "io/timers.h"
#include "stream/direct_get_request.h"
#include "stream/stream.h"
#include "stream/streams.h"

namespace sluice {

/// Owned by the stream; both subscriptions end with it. Loop thread only.
class DirectGet {
 public:
  /// @param names  of the streams it answers for: the own one, and a mirror's origin. Several may answer for
  ///   one name; each request goes to one of them.
  DirectGet(Env& env, Bus& bus, Stream& stream, const std::vector<std::string>& names,
            const StreamsOptions& options);
  ~DirectGet();
  DirectGet(const DirectGet&) = delete;
  DirectGet& operator=(const DirectGet&) = delete;

  /// Takes no request any more and drops what is under way; legal while one is being answered, but
  /// destroy it only in a later callback.
  void stop();

 private:
  /// Shared with answers that wait for the disk, so that they outlive the stream harmlessly.
  struct Outbox;
  struct Series;

  void on_request(const Message& message);
  void on_subject_request(const Message& message);
  void get(const DirectGetRequest& request, std::string_view reply);
  void get_series(const DirectGetRequest& request, std::string_view reply);
  void get_multi_last(const DirectGetRequest& request, std::string_view reply);
  void start_series(std::unique_ptr<Series> series);
  bool send_slice(Series& series);
  void send_all_slices();
  bool level_refused(const Message& message);
  void answer(std::string_view reply, const StoredMessage& message, bool no_headers);
  void answer_status(std::string_view reply, uint16_t code, std::string_view text);
  void send(std::string_view reply, std::string headers, std::string_view payload);
  std::string message_headers(const StoredMessage& message) const;

  Stream& stream_;
  const StreamsOptions& options_;
  std::shared_ptr<Outbox> outbox_;
  bool stopped_ = false;
  std::vector<std::unique_ptr<Series>> series_;
  std::unique_ptr<Timer> series_timer_;
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
};

}  // namespace sluice
