// Writes batches of messages into a stream, each together with the position it ends at: both or neither.
//
// The position is one message on a subject of its own, the newest on it (rollup), written as the last of an atomic
// batch (ADR-50) and fenced by the sequence of the one before (Nats-Expected-Last-Subject-Sequence). So whatever
// happens to a batch, its position tells whether it took place, and of two writers one gives way.
//
// Happy path: one batch at a time → ack → the next, whose messages were sent meanwhile: only its end, the position, waits
// for that ack, since its fence is the sequence the ack tells.
// Failures: whatever happens to a batch, what was sent ahead of the next one is forgotten, and sent again in its turn.
// no answer → the position is read, and the batch counted or sent again. A position that is neither ours nor
// the one before → on_lost. A batch that is refused for good is cut in halves until the one message is found whose
// fault it is; that one becomes a dead letter. Everything else is tried again with back-off, without end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/ingest_port.h"
#include "adapters/kafka/position.h"
#include "client/atomic_batch.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// One record's message, or the place of one that has none (a dead letter).
struct PlacedMessage {
  BatchMessage message;
  bool is_stored = true;
  KafkaPartition partition;
  PartitionPosition position;  ///< behind it
};

/// Loop thread only.
class PositionedWriter {
 public:
  struct Events {
    std::move_only_function<void(const PlacedMessage&)> on_stored;
    /// Its letter is on disk.
    std::move_only_function<void(const PlacedMessage&)> on_buried;
    /// All that was given is settled.
    std::move_only_function<void()> on_settled;
    /// One batch is settled, and the one behind it has its turn: takes() again.
    std::move_only_function<void()> on_room;
    /// Somebody else wrote the position, or the stream is gone: open() again. Nothing given is under way any more.
    std::move_only_function<void(const std::string& why)> on_lost;
  };
  PositionedWriter(Env& env, StreamClient& client, IngestPort& letters, std::string adapter, Events events);

  /// Makes the stream when it is missing, and reads the position. kInvalidArgument: the stream can't be used as it is.
  /// `done` runs once.
  void open(const StreamSpec& spec, std::vector<std::string> filters, std::move_only_function<void(Status)> done);
  const std::map<KafkaPartition, PartitionPosition>& positions() const { return positions_.partitions; }

  /// At most max_count() messages, while takes().
  void write(std::vector<PlacedMessage> messages);
  /// Whether there is none, or one under way and none behind it.
  bool takes() const { return !busy_ || ahead_.empty(); }
  /// The positions alone, while nothing is under way.
  void place(std::map<KafkaPartition, PartitionPosition> positions);
  static constexpr size_t max_count() { return kMaxAtomicBatch_count - 1; }
  bool busy() const { return busy_; }
  size_t in_flight() const { return messages_.size() - head_ + ahead_.size(); }
  /// Why it does not go on; empty = it does.
  const std::string& trouble() const { return trouble_; }
  void stop();

 private:
  void check_stream(const Result<StreamFigures>& found);
  void read_position();
  void opened(Status outcome);
  void begin(std::vector<PlacedMessage> messages);
  void send_ahead();
  void send_next();
  void send();
  void on_answer(Result<PubAck> answer);
  void resolve();
  void on_position(Result<StoredCopy> found);
  void committed(StreamSeq seq);
  void bury(const Error& why);
  void back_off(const std::string& why);
  void lose(const std::string& why);
  void forget();

  Env& env_;
  StreamClient& client_;
  IngestPort& letters_;
  const std::string subject_;
  const std::string adapter_;
  Events events_;
  StreamSpec spec_;
  std::vector<std::string> filters_;
  std::move_only_function<void(Status)> open_done_;
  KafkaPositions positions_;  ///< as stored
  StreamSeq position_seq_;    ///< of the message that holds them; 0 = there is none
  KafkaPositions next_;       ///< with the batch that is under way
  BatchMessage position_message_;
  std::vector<PlacedMessage> messages_;
  size_t head_ = 0;   ///< first of them that is not settled
  size_t count_ = 0;  ///< of the batch under way
  size_t limit_ = 0;  ///< cut in halves
  bool busy_ = false;
  std::vector<PlacedMessage> ahead_;  ///< behind messages_
  std::optional<AtomicBatch> ahead_batch_;  ///< has all of ahead_; empty = they are not sent
  std::optional<AtomicBatch> batch_;        ///< has all of messages_, before it has been tried
  std::string trouble_;
  int failures_ = 0;
  int incomplete_ = 0;  ///< times in a row that the batch was not whole when its end came
  std::unique_ptr<Timer> retry_timer_;
  Ticket call_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
