#include "simulate/store_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "sim/sim_random.h"

namespace sluice::simulate {

namespace {

uint64_t mix(uint64_t hash, std::string_view bytes) {
  hash = (hash ^ bytes.size()) * 0x9e3779b97f4a7c15U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash ^ (hash >> 29);
}

sim::SimRandom random_for(uint64_t nonce, uint64_t part) {
  return sim::SimRandom(nonce * 0xd1342543de82ef95U + part);
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string subject_of(uint64_t nonce) {
  auto random = random_for(nonce, 1);
  return fmt::format("s{}.{}", random.below(3), random.below(12));
}

std::string headers_of(uint64_t nonce) {
  auto random = random_for(nonce, 2);
  if (random.chance(70)) return "";
  return fmt::format("NATS/1.0\r\nX-Nonce: {}\r\n\r\n", nonce);
}

std::string payload_of(uint64_t nonce) {
  auto random = random_for(nonce, 3);
  size_t size = random.below(300);
  if (random.chance(5)) size = random.below(9000);
  if (random.chance(1)) size = random.below(20000);
  std::string out(size, '\0');
  uint64_t word = 0;
  for (size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) word = random.u64();
    out[i] = static_cast<char>(word >> (i % 8 * 8));
  }
  return out;
}

std::string msg_id_of(uint64_t nonce) {
  auto random = random_for(nonce, 4);
  return random.chance(70) ? "" : fmt::format("id-{}", nonce);
}

uint64_t digest_of(WallNanos time, std::string_view subject, std::string_view headers,
                   std::string_view payload) {
  const auto start = static_cast<uint64_t>(time) * 0xd1342543de82ef95U;
  return mix(mix(mix(start, subject), headers), payload);
}

std::string mark_of(uint64_t nonce) {
  const std::string payload = payload_of(nonce);
  return payload.size() < 24 ? std::string() : payload.substr(0, 24);
}

MessageModel make_message(uint64_t nonce, WallNanos time) {
  return {nonce, time, digest_of(time, subject_of(nonce), headers_of(nonce), payload_of(nonce))};
}

const char* to_string(Change::Kind kind) {
  switch (kind) {
    case Change::Kind::kCreateStream: return "create stream";
    case Change::Kind::kUpdateMeta: return "update meta";
    case Change::Kind::kDeleteStream: return "delete stream";
    case Change::Kind::kAppend: return "append";
    case Change::Kind::kSkip: return "skip";
    case Change::Kind::kRemove: return "remove";
    case Change::Kind::kPurge: return "purge";
    case Change::Kind::kPutConsumer: return "put consumer";
    case Change::Kind::kDeleteConsumer: return "delete consumer";
    case Change::Kind::kDelta: return "delta";
  }
  return "?";
}

void StoreModel::apply(const Change& change) {
  commit = change.commit;
  switch (change.kind) {
    case Change::Kind::kCreateStream:
      streams[change.stream] = StreamModel{change.meta, change.seq - 1, {}};
      return;
    case Change::Kind::kUpdateMeta: streams.at(change.stream).meta = change.meta; return;
    case Change::Kind::kDeleteStream:
      streams.erase(change.stream);
      std::erase_if(consumers, [&](const auto& entry) { return entry.second.stream == change.stream; });
      return;
    case Change::Kind::kAppend: {
      StreamModel& stream = streams.at(change.stream);
      stream.last_seq = change.seq;
      stream.messages[change.seq] = change.message;
      return;
    }
    case Change::Kind::kSkip: streams.at(change.stream).last_seq = change.seq; return;
    case Change::Kind::kRemove: streams.at(change.stream).messages.erase(change.seq); return;
    case Change::Kind::kPurge: {
      StreamModel& stream = streams.at(change.stream);
      stream.messages.erase(stream.messages.begin(), stream.messages.lower_bound(change.seq));
      stream.last_seq = std::max(stream.last_seq, change.seq - 1);
      return;
    }
    case Change::Kind::kPutConsumer: {
      ConsumerModel& consumer = consumers[change.key];
      consumer.stream = change.stream;
      consumer.name = change.name;
      consumer.meta = change.meta;
      return;
    }
    case Change::Kind::kDeleteConsumer: consumers.erase(change.key); return;
    case Change::Kind::kDelta: consumers.at(change.key).deltas = change.seq; return;
  }
}

namespace {

/// Reads one stream and compares the store's answers with each other.
StreamModel read_stream(StreamStore& stream, const std::string& name,
                        std::optional<std::string>& problem) {
  StreamModel out;
  const auto blame = [&](std::string what) {
    if (!problem) problem = fmt::format("stream {}: {}", name, what);
  };
  const StreamState state = stream.state();
  out.last_seq = state.last_seq.value();
  for (StreamSeq from(1);;) {
    const auto message = stream.load_next(from, ">");
    if (!message) break;
    if (message->seq < from) {
      blame(fmt::format("load_next({}) gave {}", from.value(), message->seq.value()));
      break;
    }
    MessageModel entry;
    entry.time = message->time;
    entry.digest = digest_of(message->time, message->subject, message->headers, message->payload);
    out.messages[message->seq.value()] = entry;
    from = message->seq.next();
  }
  if (state.messages != out.messages.size())
    blame(fmt::format("state says {} messages, reading gives {}", state.messages, out.messages.size()));
  if (!out.messages.empty()) {
    const uint64_t first = out.messages.begin()->first;
    if (state.first_seq.value() != first)
      blame(fmt::format("state says first {}, reading {}", state.first_seq.value(), first));
    if (out.messages.rbegin()->first > out.last_seq)
      blame(fmt::format("message {} above last {}", out.messages.rbegin()->first, out.last_seq));
    const uint64_t gaps = out.last_seq - first + 1 - out.messages.size();
    if (state.num_deleted != gaps || stream.deleted().size() != gaps)
      blame(fmt::format("{} gaps, num_deleted {}, deleted() {}", gaps, state.num_deleted,
                        stream.deleted().size()));
  }
  uint64_t by_subject = 0;
  uint64_t subjects = 0;
  stream.each_subject(">", [&](std::string_view, const SubjectState& entry) {
    by_subject += entry.count;
    ++subjects;
    return true;
  });
  if (by_subject != out.messages.size() || subjects != state.num_subjects)
    blame(fmt::format("{} messages, {} by subject; {} subjects, num_subjects {}", out.messages.size(),
                      by_subject, subjects, state.num_subjects));
  return out;
}

void read_consumers(Store& store, const std::string& stream, StoreContents& out) {
  for (const RecoveredConsumer& found : store.consumers(stream)) {
    const uint64_t key = found.key.value();
    ConsumerModel consumer{found.stream, found.name, found.meta, 0};
    if (!found.snapshot.empty()) {
      const auto at = number(found.snapshot);
      if (!at) {
        out.problem = fmt::format("consumer {}: snapshot is \"{}\"", key, found.snapshot);
        return;
      }
      consumer.deltas = *at;
    }
    for (const std::string& delta : found.deltas) {
      const auto at = number(delta);
      if (!at || *at != consumer.deltas + 1) {
        out.problem = fmt::format("consumer {}: delta \"{}\" after {}", key, delta, consumer.deltas);
        return;
      }
      consumer.deltas = *at;
    }
    if (!out.consumers.emplace(key, consumer).second)
      out.problem = fmt::format("consumer key {} twice", key);
  }
}

}  // namespace

StoreContents read_all(Store& store) {
  StoreContents out;
  for (const RecoveredStream& found : store.streams()) {
    StreamStore* stream = store.find_stream(found.name);
    if (!stream) {
      out.problem = "streams() names " + found.name + ", find_stream does not know it";
      continue;
    }
    StreamModel contents = read_stream(*stream, found.name, out.problem);
    contents.meta = found.meta;
    out.streams[found.name] = std::move(contents);
    read_consumers(store, found.name, out);
  }
  return out;
}

namespace {

std::optional<std::string> stream_difference(const std::string& name, const StreamModel& want,
                                             uint64_t highest, const StreamModel& have) {
  if (have.meta != want.meta) return fmt::format("stream {}: meta \"{}\", expected \"{}\"", name, have.meta, want.meta);
  for (const auto& [seq, message] : want.messages) {
    const auto found = have.messages.find(seq);
    if (found == have.messages.end()) return fmt::format("stream {}: message {} is missing", name, seq);
    if (!(found->second == message)) return fmt::format("stream {}: message {} has other bytes", name, seq);
  }
  if (have.messages.size() != want.messages.size()) {
    for (const auto& [seq, message] : have.messages) {
      if (!want.messages.contains(seq)) return fmt::format("stream {}: message {} should not be there", name, seq);
    }
  }
  if (have.last_seq < want.last_seq || have.last_seq > std::max(highest, want.last_seq))
    return fmt::format("stream {}: last sequence {}, expected {} to {}", name, have.last_seq, want.last_seq, highest);
  return std::nullopt;
}

}  // namespace

std::optional<std::string> difference(const StoreModel& model, const HighestSeqs& highest,
                                      const StoreContents& found) {
  if (found.problem) return found.problem;
  for (const auto& [name, want] : model.streams) {
    const auto have = found.streams.find(name);
    if (have == found.streams.end()) return fmt::format("stream {} is missing", name);
    const auto most = highest.find(name);
    const uint64_t bound = most == highest.end() ? want.last_seq : most->second;
    if (auto differs = stream_difference(name, want, bound, have->second)) return differs;
  }
  for (const auto& [name, have] : found.streams) {
    if (!model.streams.contains(name)) return fmt::format("stream {} should not be there", name);
  }
  for (const auto& [key, want] : model.consumers) {
    const auto have = found.consumers.find(key);
    if (have == found.consumers.end()) return fmt::format("consumer {} is missing", key);
    if (have->second.stream != want.stream || have->second.name != want.name)
      return fmt::format("consumer {} is {} of {}", key, have->second.name, have->second.stream);
    if (have->second.meta != want.meta) return fmt::format("consumer {} has another meta", key);
    if (have->second.deltas != want.deltas)
      return fmt::format("consumer {} at delta {}, expected {}", key, have->second.deltas, want.deltas);
  }
  if (found.consumers.size() != model.consumers.size())
    return fmt::format("{} consumers, expected {}", found.consumers.size(), model.consumers.size());
  return std::nullopt;
}

}  // namespace sluice::simulate
