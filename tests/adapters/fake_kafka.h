// A Kafka of one page: topics with partitions of records, a position of a group, transactions; fails on demand.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/kafka/kafka_port.h"
#include "io/env.h"

namespace sluice {

struct FakeRecord {
  int64_t offset = 0;
  int64_t timestamp_ms = 0;
  std::optional<std::string> key, value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

/// The brokers. Outlives readers and writers.
class FakeKafka {
 public:
  struct Log {
    int64_t first = 0;
    int64_t end = 0;
    std::deque<FakeRecord> records;
  };

  void make_topic(const std::string& topic, int32_t partitions = 1) {
    for (int32_t i = 0; i < partitions; ++i) logs[{topic, i}];
    tell();
  }
  void delete_topic(const std::string& topic) {
    std::erase_if(logs, [&](const auto& one) { return one.first.topic == topic; });
    tell();
  }
  FakeRecord& produce(const std::string& topic, std::optional<std::string> key, std::optional<std::string> value,
                      int32_t partition = 0) {
    Log& log = logs[{topic, partition}];
    log.records.push_back({log.end++, 1000 + ++now_, std::move(key), std::move(value), {}});
    tell();
    return log.records.back();
  }
  /// What is below `first` has aged out.
  void expire(const std::string& topic, int64_t first, int32_t partition = 0) {
    Log& log = logs[{topic, partition}];
    while (!log.records.empty() && log.records.front().offset < first) log.records.pop_front();
    log.first = first;
    log.end = std::max(log.end, first);
  }
  /// Handed out once more, behind what comes next.
  void repeat(const std::string& topic, int64_t offset) {
    repeated.push_back({{topic, 0}, offset});
    tell();
  }
  void tell() {
    for (auto* wake : watchers) (*wake)();
  }

  std::map<KafkaPartition, Log> logs;
  bool down = false;
  std::vector<std::function<void()>*> watchers;
  std::vector<std::pair<KafkaPartition, int64_t>> repeated;

  // ---- what a writer sees
  std::map<std::string, KafkaPosition> positions;  ///< by group
  std::vector<KafkaOutRecord> written;             ///< committed, in order
  std::map<std::string, uint64_t> epochs;          ///< by transactional id
  /// Of the next writes, one each: 'o' done, 'b' fails before the commit, 'a' after it, 'r' refuses; empty = done.
  std::string fates;
  std::optional<std::string> refused_value;  ///< a transaction with it is refused
  size_t transactions = 0;

 private:
  int64_t now_ = 0;
};

class FakeKafkaReader final : public KafkaReader {
 public:
  FakeKafkaReader(Env& env, FakeKafka& kafka) : env_(env), kafka_(kafka) {
    wake_ = [this] { wake(); };
    kafka_.watchers.push_back(&wake_);
  }
  ~FakeKafkaReader() override { std::erase(kafka_.watchers, &wake_); }
  FakeKafkaReader(const FakeKafkaReader&) = delete;
  FakeKafkaReader& operator=(const FakeKafkaReader&) = delete;

  void look(const std::vector<std::string>& topics, std::move_only_function<void(Result<Bounds>)> done) override {
    later([this, topics, told = std::move(done)]() mutable {
      if (kafka_.down) return told(fail(Errc::kTimeout, "no broker"));
      Bounds found;
      for (const auto& [partition, log] : kafka_.logs)
        for (const std::string& topic : topics)
          if (topic == partition.topic) found[partition] = {log.first, log.end};
      told(std::move(found));
    });
  }
  void assign(const std::map<KafkaPartition, int64_t>& from) override {
    at_ = from;
    wake();
  }
  size_t read(size_t max_count, const std::function<void(const KafkaRecord&)>& visit) override {
    size_t count = 0;
    if (kafka_.down) return 0;
    for (const auto& [partition, offset] : std::exchange(kafka_.repeated, {})) {
      const FakeRecord& record = kafka_.logs[partition].records[static_cast<size_t>(offset)];
      visit({partition.topic, partition.number, offset, record.timestamp_ms, false, record.key, record.value, {}});
      ++count;
    }
    for (auto& [partition, next] : at_) {
      const auto log = kafka_.logs.find(partition);
      if (log == kafka_.logs.end() || next > log->second.end || next < log->second.first) {
        later([this] { if (changed_) changed_(); });
        continue;
      }
      for (const FakeRecord& record : log->second.records) {
        if (record.offset < next) continue;
        if (count == max_count) return count;
        next = record.offset + 1;
        ++count;
        std::vector<KafkaHeader> headers;
        for (const auto& [name, value] : record.headers) headers.push_back({name, value});
        visit({partition.topic, partition.number, record.offset, record.timestamp_ms, false, record.key, record.value, headers});
      }
    }
    return count;
  }
  void on_readable(std::move_only_function<void()> told) override { readable_ = std::move(told); }
  void on_changed(std::move_only_function<void()> told) override { changed_ = std::move(told); }
  std::optional<int64_t> end_of(const KafkaPartition& partition) const override {
    const auto log = kafka_.logs.find(partition);
    if (log == kafka_.logs.end()) return std::nullopt;
    return log->second.end;
  }
  std::string trouble() const override { return kafka_.down ? "no broker" : ""; }
  void close(std::move_only_function<void()> done) override {
    at_.clear();
    later(std::move(done));
  }

 private:
  template <class Task>
  void later(Task task) {
    env_.executor.post([alive = std::weak_ptr<char>(alive_), run = std::move(task)]() mutable {
      if (!alive.expired()) run();
    });
  }
  void wake() {
    later([this] { if (readable_) readable_(); });
  }

  Env& env_;
  FakeKafka& kafka_;
  std::function<void()> wake_;
  std::map<KafkaPartition, int64_t> at_;
  std::move_only_function<void()> readable_;
  std::move_only_function<void()> changed_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

class FakeKafkaWriter final : public KafkaWriter {
 public:
  FakeKafkaWriter(Env& env, FakeKafka& kafka, KafkaWriterOptions options) : env_(env), kafka_(kafka), options_(std::move(options)) {}
  void open(std::move_only_function<void(std::expected<std::optional<KafkaPosition>, KafkaWriteFailure>)> done) override {
    later([this, told = std::move(done)]() mutable {
      if (kafka_.down) return told(std::unexpected(KafkaWriteFailure{KafkaWriteFailure::Kind::kAgain, "no broker"}));
      epoch_ = ++kafka_.epochs[options_.transactional_id];
      const auto found = kafka_.positions.find(options_.group);
      if (found == kafka_.positions.end()) return told(std::optional<KafkaPosition>());
      told(found->second);
    });
  }
  void write(std::vector<KafkaOutRecord> records, KafkaPosition position,
             std::move_only_function<void(std::expected<void, KafkaWriteFailure>)> done) override {
    later([this, batch = std::move(records), at = std::move(position), told = std::move(done)]() mutable {
      using Kind = KafkaWriteFailure::Kind;
      if (kafka_.down) return told(std::unexpected(KafkaWriteFailure{Kind::kAgain, "no broker"}));
      if (epoch_ != kafka_.epochs[options_.transactional_id]) return told(std::unexpected(KafkaWriteFailure{Kind::kFenced, "fenced"}));
      char fate = 'o';
      if (!kafka_.fates.empty()) {
        fate = kafka_.fates.front();
        kafka_.fates.erase(0, 1);
      }
      for (const KafkaOutRecord& record : batch)
        if (kafka_.refused_value && record.value == kafka_.refused_value)
          return told(std::unexpected(KafkaWriteFailure{Kind::kRefused, "too large"}));
      if (fate == 'b') return told(std::unexpected(KafkaWriteFailure{Kind::kAgain, "cut off"}));
      ++kafka_.transactions;
      kafka_.written.insert(kafka_.written.end(), batch.begin(), batch.end());
      kafka_.positions[options_.group] = at;
      if (fate == 'a') return told(std::unexpected(KafkaWriteFailure{Kind::kAgain, "cut off"}));
      told({});
    });
  }
  void close(std::move_only_function<void()> done) override { later(std::move(done)); }

 private:
  template <class Task>
  void later(Task task) {
    env_.executor.post([alive = std::weak_ptr<char>(alive_), run = std::move(task)]() mutable {
      if (!alive.expired()) run();
    });
  }
  Env& env_;
  FakeKafka& kafka_;
  const KafkaWriterOptions options_;
  uint64_t epoch_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
