#include "simulate/flip_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "sim/sealing_keys.h"
#include "simulate/figures.h"
#include "simulate/store_model.h"

namespace sluice::simulate {

namespace {

constexpr uint64_t kSlackRun = 64;       ///< that many equal bytes are zeros or filler: slack
constexpr uint64_t kSlackStride = 61;    ///< of slack, one bit of so many bytes
constexpr size_t kBrokenTold = 3;  ///< of each kind
constexpr size_t kFiller_bytes = 20'000;
constexpr size_t kRecords = 34;          ///< of each stream in the old generation: 16 KiB in all

std::string item_of(std::string_view stream, uint64_t seq) { return fmt::format("{}:{}", stream, seq); }

std::string digest_text(const StoredMessage& m) {
  return fmt::format("{:x}", digest_of(m.time, m.subject, m.headers, m.payload));
}

/// Which bytes are slack: runs of one and the same byte.
std::vector<bool> slack_of(const std::string& bytes) {
  std::vector<bool> slack(bytes.size());
  for (size_t begin = 0; begin < bytes.size();) {
    size_t end = begin;
    while (end < bytes.size() && bytes[end] == bytes[begin]) ++end;
    if (end - begin >= kSlackRun) std::fill(slack.begin() + static_cast<long>(begin), slack.begin() + static_cast<long>(end), true);
    begin = end;
  }
  return slack;
}

}  // namespace

FlipMatrix::FlipMatrix(uint64_t seed, StopKind stop, bool encrypted) : stop_(stop) {
  if (encrypted) options_.keys = sim::sealing_keys("the matrix's own");
  options_.dir = "data/store";
  options_.journal_file_bytes = 64 * kKiB;
  options_.segment_max_bytes = 64 * kKiB;
  options_.cache_bytes = 512 * kKiB;
  options_.reserve_bytes = 0;
  sim::SimEnv sim(seed);
  fill(sim);
  image_ = sim.disk().image();
}

void FlipMatrix::append_some(StreamStore& stream, int count, uint64_t& nonce) {
  for (int i = 0; i < count; ++i, ++nonce) {
    const std::string payload = fmt::format("{:016x}-order-{}-{:016x}", nonce * 0x9e3779b97f4a7c15U, nonce,
                                            nonce * 0xd1342543de82ef95U);
    stream.append({subject_of(nonce), headers_of(nonce), payload, static_cast<WallNanos>(nonce) * 1'000'000'000,
                   msg_id_of(nonce)});
  }
}

/// 16 KiB of records, first in the journal; then filler, removed at once, until they are retired into a segment; then
/// some young records, removals and consumer changes.
void FlipMatrix::fill(sim::SimEnv& sim) {
  auto opened = Store::open(sim.env(), options_);
  SLUICE_CHECK(opened.has_value());
  std::unique_ptr<Store> store = *std::move(opened);
  uint64_t nonce = 1;
  std::vector<StreamStore*> streams;
  for (const char* name : {"ORDERS", "EVENTS", "TASKS"}) {
    streams.push_back(*store->create_stream(name, fmt::format("{{\"stream\":\"{}\"}}", name), StreamSeq(0)));
    keys_.push_back(store->put_consumer(name, "worker", fmt::format("{{\"durable\":\"worker of {}\"}}", name)));
  }
  std::map<uint64_t, int> deltas;
  store->set_consumer_snapshot_source([&](ConsumerKey key) { return std::to_string(deltas[key.value()]); });
  for (size_t i = 0; i < kRecords; ++i) {
    for (StreamStore* stream : streams) append_some(*stream, 1, nonce);
    sim.run_until_idle();
  }
  StreamStore& filler = **store->create_stream("FILLER", "{}", StreamSeq(0));
  for (uint64_t seq = 1; seq <= 5 * 64 * kKiB / kFiller_bytes; ++seq) {
    filler.append({"f", "", std::string(kFiller_bytes, 'w'), 1, ""});
    sim.run_until_idle();
    filler.remove(StreamSeq(seq), false);
    sim.run_until_idle();
  }
  streams[0]->remove(StreamSeq(5), false);
  removed_.insert(item_of("ORDERS", 5));
  for (uint64_t seq = 1; seq < 3; ++seq) removed_.insert(item_of("EVENTS", seq));
  streams[1]->purge_below(StreamSeq(3));
  sim.run_until_idle();
  for (const ConsumerKey key : keys_) {
    for (int delta = 1; delta <= 4; ++delta) {
      deltas[key.value()] = delta;
      store->append_consumer_delta(key, std::to_string(delta));
      sim.run_until_idle();
    }
  }
  append_some(*streams[1], 3, nonce);
  sim.run_until_idle();
  const Contents before = read(*store);
  append_some(*streams[0], 3, nonce);  // the newest batch
  append_some(*streams[2], 2, nonce);
  sim.run_until_idle();
  SLUICE_CHECK(store->durable() == store->last_commit());
  if (stop_ == StopKind::kClean) {
    bool closed = false;
    store->close([&](Status status) { closed = status.has_value(); });
    sim.run_until_idle();
    SLUICE_CHECK(closed);
  } else {
    sim.crash(sim::Crash::kKill);
  }
  store.reset();
  sim.drop_tasks();

  sim::SimEnv again(1);
  again.disk().load(sim.disk().image());
  auto reopened = Store::open(again.env(), options_);
  SLUICE_CHECK(reopened.has_value());
  expected_ = read(**reopened);
  SLUICE_CHECK(expected_.items.size() >= 3 * kRecords);
  if (stop_ == StopKind::kKill) {
    for (const auto& [item, text] : expected_.items) {
      if (!before.items.contains(item) && item.find('/') == std::string::npos) newest_.insert(item);
    }
  }
  bool segment = false;
  for (const std::string& path : sim.disk().all_files(options_.dir)) segment |= path.ends_with(".seg");
  SLUICE_CHECK(segment);
}

FlipMatrix::Contents FlipMatrix::read(Store& store) const {
  Contents out;
  for (const RecoveredStream& stream : store.streams()) {
    StreamStore& s = *store.find_stream(stream.name);
    out.items[stream.name + "/meta"] = stream.meta;
    out.last_seqs[stream.name] = s.state().last_seq.value();
    for (StreamSeq from(1);;) {
      const auto message = s.load_next(from, ">");
      if (!message) break;
      out.items[item_of(stream.name, message->seq.value())] = digest_text(*message);
      from = message->seq.next();
    }
    for (const RecoveredConsumer& consumer : store.consumers(stream.name)) {
      const std::string name = fmt::format("{}/{}", stream.name, consumer.key.value());
      out.items[name] = consumer.name + consumer.meta;
      // A snapshot's text is the number of the newest delta in it: which way the changes came does not matter.
      for (int delta = std::atoi(consumer.snapshot.c_str()); delta > 0; --delta) out.items[fmt::format("{}/{}", name, delta)] = "";
      for (const std::string& delta : consumer.deltas) out.items[name + "/" + delta] = "";
    }
  }
  return out;
}

void FlipMatrix::judge(Store& store, const std::string& what, FlipTally& tally) const {
  const Contents found = read(store);
  const RecoveryReport& report = store.recovery();
  const uint64_t told = report.lost_records + report.cut_bytes + report.cut_sequences + figure(store, "sluice_store_lost_messages_total");
  std::vector<std::string> missing;
  std::vector<std::string> wrong;
  std::vector<std::string> back;
  for (const auto& [item, text] : expected_.items) {
    const auto have = found.items.find(item);
    if (have == found.items.end()) {
      missing.push_back(item);
    } else if (have->second != text) {
      wrong.push_back(item);
    }
  }
  for (const auto& [item, text] : found.items) {
    if (expected_.items.contains(item)) continue;
    const bool filler = item.starts_with("FILLER:");
    (removed_.contains(item) || filler ? back : wrong).push_back(item);
  }
  for (const auto& [stream, last] : expected_.last_seqs) {
    const auto have = found.last_seqs.find(stream);
    if (have != found.last_seqs.end() && have->second < last) wrong.push_back(stream + " would give out a sequence again");
  }
  const auto bad = [&](uint64_t& count, const char* kind) {
    if (++count > kBrokenTold) return;
    std::string line = fmt::format("{}: {}: {} missing, {} wrong, {} back, told {}", what, kind, missing.size(), wrong.size(),
                                   back.size(), told);
    for (const auto* list : {&missing, &wrong, &back}) {
      for (size_t i = 0; i < list->size() && i < 4; ++i) line += " " + (*list)[i];
    }
    for (const std::string& text : report.notes) line += "\n    recovery: " + text;
    tally.broken.push_back(std::move(line));
  };
  const bool only_newest = std::all_of(missing.begin(), missing.end(), [&](const auto& item) { return newest_.contains(item); });
  if (!wrong.empty()) return bad(tally.wrong_data, "wrong data");
  if (missing.empty() && back.empty()) {
    ++(told != 0 || !report.notes.empty() ? tally.mended : tally.harmless);
  } else if (told == 0) {
    bad(tally.lost_in_silence, "lost in silence");
  } else if (!missing.empty() && only_newest && report.cut_bytes + report.cut_sequences != 0 && back.empty()) {
    ++tally.newest_cut;
  } else if (missing.size() > 1 || (!missing.empty() && !back.empty())) {
    bad(tally.neighbours_lost, "good neighbours lost");
  } else {
    ++(back.empty() ? tally.one_lost : tally.undone);
  }
}

void FlipMatrix::flip(const std::string& path, uint64_t offset, unsigned bit, FlipTally& tally) {
  ++tally.bits;
  sim::SimEnv sim(1);
  sim.disk().load(image_);
  SLUICE_CHECK(sim.disk().flip_bit(path, offset, bit));
  const std::string what = fmt::format("bit {} of byte {} of {}", bit, offset, path);
  auto opened = Store::open(sim.env(), options_);
  if (!opened) {
    if (++tally.does_not_start <= kBrokenTold) tally.broken.push_back(what + ": does not start: " + opened.error().detail);
    return;
  }
  judge(**opened, what, tally);
  opened->reset();
  sim.drop_tasks();
}

FlipTally FlipMatrix::run(uint64_t part, uint64_t parts, const std::function<bool()>& time_over) {
  FlipTally tally;
  uint64_t number = 0;
  for (const auto& [path, file] : image_) {
    if (!file || file->size == 0 || path.find("spare-") != std::string::npos) continue;
    ++tally.files;
    std::string bytes(file->size, '\0');
    file->read(0, std::as_writable_bytes(std::span(bytes)));
    const std::vector<bool> slack = slack_of(bytes);
    for (uint64_t at = 0; at < bytes.size() && !time_over(); ++at) {
      if (slack[at] && at % kSlackStride != 0) continue;
      for (unsigned bit = 0; bit < 8; ++bit) {
        if (slack[at] && bit != at / kSlackStride % 8) continue;
        if (number++ % parts != part) continue;
        tally.sampled += slack[at] ? 1 : 0;
        flip(path, at, bit, tally);
      }
    }
  }
  return tally;
}

}  // namespace sluice::simulate
