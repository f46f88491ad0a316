#include "adapters/kafka_source/partition_book.h"

#include <fmt/format.h>

#include <algorithm>

#include "adapters/kafka/record_form.h"

namespace sluice {

bool PartitionBook::is_wanted(const std::string& topic) const { return std::ranges::find(policy_.topics, topic) != policy_.topics.end(); }

bool PartitionBook::knows_topic(const std::string& topic) const {
  const auto at = partitions_.lower_bound({topic, 0});
  return at != partitions_.end() && at->first.topic == topic;
}

void PartitionBook::load(const std::map<KafkaPartition, PartitionPosition>& stored_positions) {
  partitions_.clear();
  last_ = partitions_.end();
  for (const auto& [partition, position] : stored_positions) {
    State& state = partitions_[partition];
    state.next = state.read_next = position.next;
    state.mark = state.read_mark = position.mark;
  }
}

void PartitionBook::note_look() {
  for (auto& [partition, state] : partitions_) state.asked_next = state.read_next;
}

void PartitionBook::doubt() {
  for (auto& [partition, state] : partitions_) state.gone = is_wanted(partition.topic) && !state.stopped;
}

bool PartitionBook::is_news(const KafkaReader::Bounds& found) const {
  for (const auto& [partition, bounds] : found) {
    const auto known = partitions_.find(partition);
    if (known == partitions_.end()) return true;
    const State& state = known->second;
    if (state.stopped) continue;
    if (state.gone || state.recreated || state.suspect || state.asked_next > bounds.end || state.read_next < bounds.first) return true;
  }
  return std::ranges::any_of(partitions_, [&](const auto& one) {
    return !one.second.gone && is_wanted(one.first.topic) && !found.contains(one.first);
  });
}

PartitionBook::Verdict PartitionBook::settle(const KafkaReader::Bounds& found) {
  Verdict verdict;
  for (const std::string& topic : policy_.topics) {
    const bool known_topic = knows_topic(topic) || missed_.contains(topic);
    for (auto at = found.lower_bound({topic, 0}); at != found.end() && at->first.topic == topic; ++at) {
      const auto& [partition, bounds] = *at;
      if (partitions_.contains(partition)) {
        settle_one(partition, partitions_[partition], bounds, verdict);
        continue;
      }
      // A partition that was added to a topic that is read is read whole.
      State& state = partitions_[partition];
      state.next = known_topic || policy_.from_start ? bounds.first : bounds.end;
      state.read_next = state.next;
      state.bounds = bounds;
      state.gone = false;
      verdict.moved = verdict.assign = true;
    }
  }
  for (const std::string& topic : policy_.topics)
    if (!knows_topic(topic)) missed_.insert(topic);  // all of it will be new
  for (auto& [partition, state] : partitions_) {
    if (!is_wanted(partition.topic) || found.contains(partition)) continue;
    verdict.again = true;
    if (state.gone) continue;
    state.gone = true;
    verdict.assign = true;
    verdict.notes.push_back(fmt::format("partition {}/{} is gone, waited for", partition.topic, partition.number));
  }
  return verdict;
}

void PartitionBook::settle_one(const KafkaPartition& partition, State& state, const KafkaBounds& found, Verdict& verdict) {
  state.bounds = found;
  if (state.stopped) return;
  if (std::exchange(state.gone, false)) verdict.assign = true;
  const std::string name = fmt::format("partition {}/{}", partition.topic, partition.number);
  const bool beyond = state.asked_next > found.end;
  if (beyond && !state.recreated && !std::exchange(state.suspect, true)) {
    verdict.again = true;
    return;
  }
  if (!beyond) state.suspect = false;
  if (beyond || state.recreated) {
    state.recreated = state.suspect = false;
    verdict.assign = true;
    if (!policy_.restart_recreated) {
      state.stopped = true;
      verdict.notes.push_back(name + " was made again: not read any more (on_recreated: stop)");
      return;
    }
    verdict.notes.push_back(fmt::format("{} was made again: read from its start, was at {}", name, state.next));
    state.next = state.read_next = found.first;
    state.mark = state.read_mark = 0;
    verdict.moved = true;
  } else if (state.next < found.first) {
    verdict.assign = true;
    const auto lost = static_cast<uint64_t>(found.first - state.next);
    if (!policy_.pass_expired) {
      state.stopped = true;
      verdict.notes.push_back(fmt::format("{}: {} records were gone before they were read (on_expired: stop)", name, lost));
      return;
    }
    verdict.notes.push_back(fmt::format("{}: {} records were gone before they were read", name, lost));
    verdict.expired += lost;
    state.next = state.read_next = found.first;
    state.mark = state.read_mark = 0;
    verdict.moved = true;
  }
}

std::map<KafkaPartition, int64_t> PartitionBook::assignment() {
  std::map<KafkaPartition, int64_t> out;
  for (auto& [partition, state] : partitions_) {
    if (state.gone || state.stopped || state.suspect || !is_wanted(partition.topic)) continue;
    state.read_next = state.next;
    state.read_mark = state.mark;
    state.verify = state.mark != 0 && state.next > state.bounds.first;
    out[partition] = state.next - (state.verify ? 1 : 0);
  }
  return out;
}

PartitionBook::Taken PartitionBook::take(const KafkaRecord& record) {
  if (last_ == partitions_.end() || last_->first.number != record.partition || last_->first.topic != record.topic) {
    last_ = partitions_.find({std::string(record.topic), record.partition});
    if (last_ == partitions_.end()) return Taken::kIgnored;
  }
  State& state = last_->second;
  if (state.gone || state.stopped || state.recreated || state.suspect) return Taken::kIgnored;
  if (state.verify && record.offset == state.read_next - 1) {
    state.verify = false;
    if (record_mark(record) == state.read_mark) return Taken::kKnown;
    state.recreated = true;
    return Taken::kForeign;
  }
  if (record.offset < state.read_next) return Taken::kRepeated;
  state.verify = false;  // compacted away or expired: nothing to compare with
  state.read_next = record.offset + 1;
  state.read_mark = record_mark(record);
  return Taken::kNew;
}

void PartitionBook::stored(const KafkaPartition& partition, PartitionPosition position) {
  const auto at = partitions_.find(partition);
  if (at == partitions_.end()) return;
  at->second.next = position.next;
  at->second.mark = position.mark;
}

std::map<KafkaPartition, PartitionPosition> PartitionBook::positions() const {
  std::map<KafkaPartition, PartitionPosition> out;
  for (const auto& [partition, state] : partitions_) out[partition] = {state.next, state.mark};
  return out;
}

std::string PartitionBook::trouble() const {
  for (const std::string& topic : policy_.topics)
    if (!knows_topic(topic)) return "topic '" + topic + "' is not there";
  for (const auto& [partition, state] : partitions_) {
    if (!is_wanted(partition.topic)) continue;
    const std::string name = fmt::format("partition {}/{}", partition.topic, partition.number);
    if (state.stopped) return name + " is not read any more, by policy";
    if (state.gone) return name + " is not there";
  }
  return {};
}

std::vector<PartitionBook::Lag> PartitionBook::lags(const KafkaReader& reader) const {
  std::vector<Lag> out;
  for (const auto& [partition, state] : partitions_) {
    if (!is_wanted(partition.topic)) continue;
    const int64_t end = std::max(state.bounds.end, reader.end_of(partition).value_or(0));
    out.push_back({partition, end > state.next ? static_cast<uint64_t>(end - state.next) : 0});
  }
  return out;
}

}  // namespace sluice
