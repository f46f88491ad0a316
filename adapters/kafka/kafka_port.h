// Kafka as the adapters see it. The real one stands on librdkafka (rd_reader.cc, rd_writer.cc), tests have
// their own. Nothing here blocks: what librdkafka does only by waiting runs on a thread of its own.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/kafka/options.h"
#include "base/error.h"
#include "io/env.h"

namespace sluice {

struct KafkaPartition {
  std::string topic;
  int32_t number = 0;
  auto operator<=>(const KafkaPartition&) const = default;
};

/// Offsets that can be read: first in, end out.
struct KafkaBounds {
  int64_t first = 0;
  int64_t end = 0;
};

/// nullopt = null, which is not the same as empty.
using KafkaBytes = std::optional<std::string_view>;

struct KafkaHeader {
  std::string_view name;
  KafkaBytes value;
};

/// One record as read. Views are for the call only.
struct KafkaRecord {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t timestamp_ms = -1;     ///< since 1970; -1 = none
  bool is_append_time = false;   ///< given by the broker, not by the producer
  KafkaBytes key;
  KafkaBytes value;              ///< null = a tombstone
  std::span<const KafkaHeader> headers;
};

/// Reads partitions from offsets that are given to it; commits nothing. Loop thread only; callbacks come on the
/// loop, never inside a call. Sees committed records only (read_committed). Broken connections are made again
/// without end; meanwhile trouble() says so.
class KafkaReader {
 public:
  using Bounds = std::map<KafkaPartition, KafkaBounds>;
  virtual ~KafkaReader() = default;

  /// Which partitions there are now; of a topic that does not exist, none. One look at a time.
  virtual void look(const std::vector<std::string>& topics, std::move_only_function<void(Result<Bounds>)> done) = 0;
  /// Reads these from these offsets on, and nothing else. What was fetched before is not handed out any more.
  virtual void assign(const std::map<KafkaPartition, int64_t>& from) = 0;
  /// Hands out what has been fetched, `max_count` at most. @return how many. What nobody takes waits here, bounded by
  /// queued.max.messages.kbytes; then nothing is fetched.
  virtual size_t read(size_t max_count, const std::function<void(const KafkaRecord&)>& visit) = 0;
  /// Runs when read() has something after it had nothing.
  virtual void on_readable(std::move_only_function<void()> told) = 0;
  /// Runs when the brokers say that something about a partition is not as assigned (offset out of range, unknown
  /// topic): time for another look().
  virtual void on_changed(std::move_only_function<void()> told) = 0;
  /// The end as of the last fetch.
  virtual std::optional<int64_t> end_of(const KafkaPartition& partition) const = 0;
  /// Why nothing may come, in words; empty = nothing is known to be wrong.
  virtual std::string trouble() const = 0;
  /// Whether the brokers said, since the last call, that a topic or partition that is read is not there.
  virtual bool take_missing() { return false; }
  /// `done` runs once, when its threads have ended; then it may go. Destroyed without, they end on their own.
  virtual void close(std::move_only_function<void()> done) = 0;
};

/// One record to be written; owns its bytes.
struct KafkaOutRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  int64_t timestamp_ms = -1;  ///< -1 = the time of writing
};

/// A position kept at the brokers, committed together with records.
struct KafkaPosition {
  int64_t next = 0;
  std::string note;  ///< whatever its owner needs to know it by
};

struct KafkaWriteFailure {
  enum class Kind : uint8_t {
    kAgain,    ///< may pass; whether it was committed, only the next session can tell
    kFenced,   ///< another writer with this transactional id took over
    kRefused,  ///< one of these records can never be written; of several, send fewer to find it
  };
  Kind kind = Kind::kAgain;
  std::string why;
};

/// One session of a transactional producer. After any failure it is over: close it and open another one, which
/// settles what was under way. Loop thread only; `done`s come once, later.
class KafkaWriter {
 public:
  virtual ~KafkaWriter() = default;
  /// Fences every earlier session of this transactional id. @return the committed position, if there is one.
  virtual void open(std::move_only_function<void(std::expected<std::optional<KafkaPosition>, KafkaWriteFailure>)> done) = 0;
  /// One transaction: all records in this order and the position, or nothing. One at a time. No records: the
  /// position alone.
  virtual void write(std::vector<KafkaOutRecord> records, KafkaPosition position,
                     std::move_only_function<void(std::expected<void, KafkaWriteFailure>)> done) = 0;
  virtual void close(std::move_only_function<void()> done) = 0;
};

struct KafkaWriterOptions {
  std::string topic;
  std::string transactional_id;
  std::string group;  ///< whose offset the position is (of partition 0 of the topic)
};

using KafkaReaderFactory = std::function<Result<std::unique_ptr<KafkaReader>>()>;
using KafkaWriterFactory = std::function<Result<std::unique_ptr<KafkaWriter>>()>;

/// Names of librdkafka that `properties` may not set, because the adapters stand on them. @return kInvalidArgument
/// that names it, also for names and values librdkafka does not know.
Status check_kafka_properties(const KafkaClientOptions& options, bool is_writer);
Result<std::unique_ptr<KafkaReader>> make_kafka_reader(Env& env, const KafkaClientOptions& options);
Result<std::unique_ptr<KafkaWriter>> make_kafka_writer(Env& env, const KafkaClientOptions& options,
                                                       const KafkaWriterOptions& writer);

}  // namespace sluice
