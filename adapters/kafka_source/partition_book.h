// What is known of each partition: how far it is stored, how far it was read, and whether it still is the same.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "adapters/kafka/kafka_port.h"
#include "adapters/kafka/position.h"

namespace sluice {

struct BookPolicy {
  std::vector<std::string> topics;
  bool from_start = true;
  bool restart_recreated = true;
  bool pass_expired = true;
};

/// Pure. A topic that was made again is known by its end, which lies before the position (twice, as one answer may be
/// of a broker that is coming up), or by its record before the position, which is read again at each beginning and
/// compared with what was stored of it.
class PartitionBook {
 public:
  explicit PartitionBook(BookPolicy policy) : policy_(std::move(policy)) {}

  /// Forgets what was read and not stored.
  void load(const std::map<KafkaPartition, PartitionPosition>& stored);
  /// The positions asked about are those of now.
  void note_look();
  /// Some of it was not there for a moment, between two looks: at the next one all is read from a record that is compared.
  void doubt();
  /// Whether settle() would change anything.
  bool is_news(const KafkaReader::Bounds& found) const;

  struct Verdict {
    bool moved = false;   ///< positions changed: they are to be stored before anything is read
    bool assign = false;  ///< what is read has changed
    bool again = false;   ///< look again soon
    uint64_t expired = 0; ///< records that were gone before they were read
    std::vector<std::string> notes;
  };
  /// Nothing read is unstored now.
  Verdict settle(const KafkaReader::Bounds& found);
  std::map<KafkaPartition, int64_t> assignment();

  enum class Taken : uint8_t {
    kNew,
    kRepeated,
    kKnown,    ///< the one before the position, as it was
    kForeign,  ///< another record stands there: time for a look
    kIgnored,  ///< of a partition that is not read
  };
  Taken take(const KafkaRecord& record);
  /// Of the record just taken.
  const KafkaPartition& last_partition() const { return last_->first; }
  PartitionPosition last_position() const { return {last_->second.read_next, last_->second.read_mark}; }

  void stored(const KafkaPartition& partition, PartitionPosition position);
  std::map<KafkaPartition, PartitionPosition> positions() const;

  /// Why some of it is not read, in words; empty = all is.
  std::string trouble() const;
  struct Lag {
    KafkaPartition partition;
    uint64_t records = 0;
  };
  /// `reader` knows newer ends.
  std::vector<Lag> lags(const KafkaReader& reader) const;

 private:
  struct State {
    int64_t next = 0;
    uint64_t mark = 0;
    int64_t read_next = 0;
    uint64_t read_mark = 0;
    int64_t asked_next = 0;  ///< read_next when the look began
    KafkaBounds bounds;
    bool verify = false;     ///< the record before read_next comes first
    bool recreated = false;
    bool suspect = false;    ///< its end lay before the position once
    bool gone = true;        ///< not there at the last look
    bool stopped = false;    ///< by policy, until a restart
  };
  using Partitions = std::map<KafkaPartition, State>;
  bool is_wanted(const std::string& topic) const;
  bool knows_topic(const std::string& topic) const;
  void settle_one(const KafkaPartition& partition, State& state, const KafkaBounds& found, Verdict& verdict);

  const BookPolicy policy_;
  std::set<std::string> missed_;  ///< topics that were not there at first
  Partitions partitions_;
  Partitions::iterator last_ = partitions_.end();
};

}  // namespace sluice
