// IngestPort on a JetStream: the embedded core's or any server's.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "adapters/ingest_port.h"
#include "base/limits.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

inline constexpr std::string_view kDeadLetterStream = "SLUICE_DLQ";
inline constexpr std::string_view kDeadLetterSubjects = "SLUICE.DLQ.>";

/// Whether prepare() goes on trying after this error by itself.
bool may_pass(const Error& why);

struct StreamIngestOptions {
  std::string adapter;  ///< one token: dead letters go to SLUICE.DLQ.<adapter>
  size_t max_in_flight_count = 2000;
  size_t max_in_flight_bytes = 32 * kMiB;
  std::chrono::nanoseconds ack_timeout = std::chrono::seconds(5);
};

/// Rising counters since start.
struct StreamIngestFigures {
  uint64_t stored = 0;
  uint64_t duplicates = 0;  ///< of those stored: the stream had them already
  uint64_t retries = 0;
  uint64_t full = 0;          ///< offers refused because the window was full
  uint64_t dead_letters = 0;  ///< durable in the dead-letter stream
  uint64_t lost = 0;          ///< given up: even the dead-letter stream refused them
};

/// Happy path: messages are published in the order taken, many at a time; a message waits (and with
/// it what is behind it) while one of its own lane is under way. So everything is stored in the
/// order taken, and a lane's order holds through every failure.
///
/// Failures: timeouts, broken connections, missing streams and full streams are retried with
/// jittered back-off (250 ms to 10 s) for ever; meanwhile nothing new is sent and the window fills
/// up, so that the source pauses. Nothing is sent before prepare() has found or made both streams.
/// A message the target refuses for good (too large, bad subject) becomes a dead letter. A retry
/// carries the same Nats-Msg-Id, so within the stream's duplicate window nothing is stored twice; so does that of
/// a letter, and what a source with places hands over again after a crash.
/// Loop thread only.
class StreamIngest final : public IngestPort {
 public:
  /// `client` must outlive it.
  StreamIngest(Env& env, StreamClient& client, StreamIngestOptions options);
  ~StreamIngest() override;

  /// Creates the target (unless a stream of that name is there, whatever its settings) and the
  /// dead-letter stream (1 GiB, 30 days, discard old). `done` gets the first try's outcome, once.
  /// After an error that may pass (kTimeout, kClosed, kNoResponders) it goes on trying, messages
  /// wait.
  void prepare(const StreamSpec& target, std::move_only_function<void(Status)> done);
  /// The same for who only has dead letters.
  void prepare_dead_letters(std::move_only_function<void(Status)> done) { prepare({}, std::move(done)); }
  /// Both streams are there and the last publish was not refused.
  bool healthy() const { return prepared_ && !retry_timer_->active(); }
  /// Why it is not healthy, in words; empty = it is.
  const std::string& trouble() const { return trouble_; }
  /// Takes nothing more; whoever waits for `stored` gets kClosed (later).
  void stop();

  Offer offer(const IngestMessage& message, Stored stored) override;
  Offer dead_letter(const DeadLetter& letter, Stored stored) override;
  void on_room(std::move_only_function<void()> room) override;
  size_t in_flight() const override { return items_.size(); }
  const StreamIngestFigures& figures() const { return figures_; }

 private:
  struct Item {
    std::string subject, headers, payload, lane, place;
    uint64_t number = 0;  ///< order in which taken
    bool holds_lane = false;
    bool is_dead_letter = false;
    std::optional<Error> refusal;  ///< why a message offered for the stream became a dead letter
    Stored stored;
    Ticket publish;
  };
  using Place = std::list<Item>::iterator;

  Offer take(Item item);
  std::string letter_id(std::string_view reason, std::string_view place, std::string_view bytes);
  void send_ready();
  void on_answer(Place place, Result<PubAck> answer);
  void finish(Place place, Result<PubAck> outcome);
  void bury(Place place, const Error& why);
  void back_off(const Error& why, std::string_view subject);
  void ensure_streams();
  void ensure_stream(const StreamSpec& spec, std::move_only_function<void(Status)> done);
  void prepared(Status outcome);
  void tell_made(const std::string& name) const;
  void tell_room();

  Env& env_;
  StreamClient& client_;
  const StreamIngestOptions options_;
  std::list<Item> items_;            ///< everything taken and not finished, in the order taken
  std::map<uint64_t, Place> ready_;  ///< to be sent, by number: retries go before newer ones
  std::unordered_set<std::string> busy_lanes_;
  uint64_t last_number_ = 0;
  std::string own_letters_;  ///< begins the ids of letters without a place; drawn with the first
  uint64_t last_letter_ = 0;
  size_t bytes_ = 0;
  bool refused_ = false;  ///< somebody waits for room
  bool stopped_ = false;
  bool prepared_ = false;
  int failures_ = 0;
  std::string trouble_;
  StreamSpec target_;
  std::move_only_function<void(Status)> prepare_done_;
  std::vector<std::move_only_function<void()>> room_;
  StreamIngestFigures figures_;
  std::unique_ptr<Timer> retry_timer_;
  Ticket api_call_;
  Ticket state_listener_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
