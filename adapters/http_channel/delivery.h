// The far end of a channel: events of the channel's stream become requests to its endpoint.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "adapters/adapter.h"
#include "adapters/http_channel/durable_pull.h"
#include "adapters/http_channel/outgoing.h"
#include "adapters/ingest_port.h"
#include "http_client/http_client.h"

namespace sluice {

/// Happy path: event → request → 2xx → acknowledged in the stream. Up to `concurrency` requests at a time;
/// of one lane (the channel, or a key) one, and the next when it is settled.
///
/// Failures: no answer, or one that may pass, is tried again with jittered back-off that doubles from
/// first_retry to last_retry; Retry-After holds the whole channel. An answer that says the event itself is
/// wrong, or too many attempts, make it a dead letter. 410 ends the delivery until the adapter is made anew.
/// What is held is kept from coming again by +WPI; everything else waits in the stream.
/// Loop thread only.
class ChannelDelivery {
 public:
  /// All referred to outlives it.
  ChannelDelivery(Env& env, StreamClient& streams, IngestPort& letters, const HttpChannelOptions& options,
                  HttpClient& http, AdapterFigures& figures);

  /// Sends nothing more; what is not under way comes again at once when the channel runs anew.
  void stop();
  /// Requests that have no answer yet, and events delivered whose ack is not on disk.
  size_t under_way() const;
  bool well() const { return source_ && source_->running() && !gone_ && failing_.empty(); }
  /// Runs whenever under_way() may have become 0.
  void on_settled(std::move_only_function<void()> told) { settled_ = std::move(told); }
  void on_room();
  /// Why nothing is delivered, in words; empty = it is.
  std::string trouble() const { return gone_ ? "gone for good (410): nothing more is sent until the adapter is changed or the daemon started again" : failing_; }

 private:
  enum class State : uint8_t {
    kWaiting,  ///< for its turn, or for `due`
    kSending,
    kBurying,    ///< becomes a dead letter: until that is durable
    kDelivered,  ///< until the stream has its ack
  };
  struct Held {
    PulledMessage message;
    std::optional<CloudEvent> event;  ///< nullopt = no event: `fault`
    EventFault fault;
    std::string lane;  ///< empty = its own
    State state = State::kWaiting;
    uint64_t attempts = 0;
    MonoTime due{0};
    Ticket call;
  };
  using Place = std::map<uint64_t, Held>::iterator;

  void on_message(PulledMessage message);
  void pump();
  void send(Place place);
  void on_answer(uint64_t seq, Result<HttpResponse> answer);
  void try_again(Held& held, std::string_view why, const HttpResponse* answer);
  void bury(Place place, std::string_view reason, const std::string& detail);
  void acknowledge(Place place);
  void end_for_good();
  void keep_alive();
  void tell_settled();

  Env& env_;
  StreamClient& streams_;
  IngestPort& letters_;
  const HttpChannelOptions& options_;
  HttpClient& http_;
  AdapterFigures& figures_;
  std::map<uint64_t, Held> held_;  ///< by sequence; max_in_flight at most
  std::string failing_;            ///< why the last request failed; empty = it did not
  bool gone_ = false;
  bool stopping_ = false;
  MonoTime not_before_{0};  ///< Retry-After
  std::move_only_function<void()> settled_;
  std::unique_ptr<Timer> pump_timer_;
  std::unique_ptr<Timer> alive_timer_;
  std::unique_ptr<DurablePull> source_;
};

}  // namespace sluice
