// Power cuts and kills in the midst of atomic batches (ADR-50): all of a batch is there, or none.
#include <map>
#include <set>

#include "node_world.h"

namespace sluice::test {
namespace {

constexpr uint64_t kSeeds = 12;

struct SentBatch {
  std::string inbox;  ///< of the commit
  size_t size = 0;
};

/// Batches of several sizes among single publishes against a slow disk; then the end.
void crash_among_batches(uint64_t seed, Crash kind) {
  NodeWorld w(seed);
  w.options.store.journal_file_bytes = 64 * kKiB;
  w.start();
  std::map<std::string, SentBatch> sent;  // id → batch
  std::set<std::string> acked;
  for (int life = 0; life < 3; ++life) {
    auto& c = w.client("c");
    if (life == 0) w.make_stream(c, "S", "s.*", R"(,"allow_atomic":true)");
    w.sim.settle();
    w.sim.disk_workers().set_latency(100us, 5ms);
    const uint64_t count = w.sim.random().between(5, 20);
    for (uint64_t b = 0; b < count; ++b) {
      const std::string id = fmt::format("{}-{}", life, b);
      SentBatch& batch = sent[id];
      batch.size = w.sim.random().between(1, 40);
      for (size_t i = 1; i <= batch.size; ++i) {
        const std::string headers = fmt::format("NATS/1.0\r\nNats-Batch-Id: {}\r\nNats-Batch-Sequence: {}\r\n{}\r\n", id, i,
                                                i == batch.size ? "Nats-Batch-Commit: 1\r\n" : "");
        const std::string payload = fmt::format("{}|{}", id, std::string(w.sim.random().below(1500), 'x'));
        if (i == batch.size)
          batch.inbox = c.request(fmt::format("s.{}", i % 3), payload, headers);
        else
          c.publish(fmt::format("s.{}", i % 3), payload, "", headers);
        if (w.sim.random().below(8) == 0) w.sim.advance(std::chrono::microseconds(w.sim.random().below(300)));
      }
      c.publish("s.0", "single");
      w.sim.advance(std::chrono::microseconds(w.sim.random().below(1500)));
    }
    for (const auto& [id, batch] : sent) {
      if (!id.starts_with(fmt::format("{}-", life))) continue;  // a new client's inboxes have the old ones' names
      for (const Received& got : c.take(batch.inbox)) {
        const Json ack = Json::parse(got.payload, nullptr, false);
        EXPECT_EQ(ack.value("count", size_t{0}), batch.size) << got.payload;
        acked.insert(id);
      }
    }
    w.sim.disk_workers().set_latency(0ns, 0ns);
    w.restart(kind);
  }
  std::map<std::string, size_t> found;
  Stream* stream = w.node->streams().find("S");
  ASSERT_NE(stream, nullptr);
  for (StreamSeq from(1);;) {
    const auto stored = stream->store().load_next(from, ">");
    if (!stored) break;
    from = stored->seq.next();
    if (stored->payload != "single") ++found[std::string(stored->payload.substr(0, stored->payload.find('|')))];
  }
  for (const auto& [id, count] : found) EXPECT_EQ(count, sent[id].size) << "a part of batch " << id;
  for (const std::string& id : acked) EXPECT_TRUE(found.contains(id)) << "acknowledged batch " << id << " is gone";
  EXPECT_FALSE(acked.empty());
}

TEST(NodeBatchCrash, AllOfABatchOrNone) {
  for (Crash kind : {Crash::kPower, Crash::kKill}) {
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SCOPED_TRACE(fmt::format("{} seed {}", kind == Crash::kPower ? "power cut" : "kill", seed));
      crash_among_batches(seed, kind);
    }
  }
}

}  // namespace
}  // namespace sluice::test
