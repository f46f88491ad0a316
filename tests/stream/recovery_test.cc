// Streams over the real store on a simulated disk: what was acknowledged survives any stop.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>
#include <string>

#include "../client/fake_bus.h"
#include "sim/sim_env.h"
#include "stream/streams.h"

namespace sluice {
namespace {

/// One process after the other on the same disk.
class World {
 public:
  explicit World(uint64_t seed) : sim_(seed) {
    inbox_ = bus_.subscribe("_INBOX.*", "", [this](const Message& m, const Origin&) {
      acks_[std::string(m.subject)] = m.payload;
    });
    start();
  }
  ~World() { stop(); }

  void start() {
    auto store = Store::open(sim_.env(), {.dir = "/data",
                                         .journal_file_bytes = 256 * kKiB,
                                         .segment_max_bytes = 256 * kKiB,
                                         .cache_bytes = kMiB});
    ASSERT_TRUE(store) << store.error().detail;
    store_ = std::move(*store);
    StreamsOptions options;
    options.api_level = 5;
    streams_ = Streams::make(sim_.env(), bus_, store_.get(), options);
  }
  void stop() {
    streams_.reset();
    store_.reset();
    sim_.drop_tasks();
  }
  void crash(sim::Crash kind) {
    sim_.crash(kind);
    stop();
    start();
  }
  void create(std::string_view json) {
    auto config = parse_stream_config(json);
    ASSERT_TRUE(config);
    ASSERT_TRUE(streams_->create(*config));
    sim_.run_until_idle();
  }
  void publish(const std::string& id, const std::string& subject) {
    const std::string headers = "NATS/1.0\r\nNats-Msg-Id: " + id + "\r\n\r\n";
    bus_.publish({.subject = subject, .reply = "_INBOX." + id, .headers = headers, .payload = id});
  }
  /// What stands in the stream under `seq`; "" = nothing.
  std::string payload_at(uint64_t seq) {
    auto m = streams_->find("S")->store().load(StreamSeq(seq));
    return m ? std::string(m->payload) : "";
  }

  sim::SimEnv sim_;
  FakeBus bus_;
  std::unique_ptr<BusSubscription> inbox_;
  std::map<std::string, std::string> acks_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Streams> streams_;
};

uint64_t seq_of(const std::string& ack) {
  const auto at = ack.find("\"seq\":");
  return at == std::string::npos ? 0 : std::stoull(ack.substr(at + 6));
}

TEST(Recovery, KeepsConfigurationMessagesAndIds) {
  World w(3);
  w.create(R"({"name":"S","subjects":["a.*"],"max_msgs_per_subject":5,"metadata":{"k":"v"}})");
  const StreamConfig before = w.streams_->find("S")->config();
  for (int i = 1; i <= 3; ++i) w.publish("i" + std::to_string(i), "a.x");
  w.sim_.run_until_idle();
  w.crash(sim::Crash::kPower);
  Stream* s = w.streams_->find("S");
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->config(), before);
  EXPECT_EQ(s->visible_last().value(), 3U);
  w.acks_.clear();
  w.publish("i2", "a.x");
  w.sim_.run_until_idle();
  EXPECT_EQ(w.acks_["_INBOX.i2"], R"({"stream":"S","seq":2,"duplicate": true})");
}

TEST(Recovery, MessageTtlsGoOnAfterAPowerCut) {
  World w(5);
  w.create(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true,"max_age":60000000000})");
  auto put = [&w](std::string_view ttl) {
    const std::string headers = "NATS/1.0\r\nNats-TTL: " + std::string(ttl) + "\r\n\r\n";
    w.bus_.publish({.subject = "a", .reply = "", .headers = headers, .payload = ttl});
    w.sim_.run_until_idle();
  };
  for (std::string_view ttl : {"never", "5", "100", "30s"}) put(ttl);
  w.crash(sim::Crash::kPower);
  EXPECT_EQ(w.payload_at(2), "5");
  w.sim_.advance(std::chrono::seconds(6));
  EXPECT_EQ(w.payload_at(2), "");
  EXPECT_EQ(w.payload_at(4), "30s");
  w.crash(sim::Crash::kPower);
  w.sim_.advance(std::chrono::seconds(60));
  EXPECT_EQ(w.payload_at(1), "never");
  EXPECT_EQ(w.streams_->find("S")->store().state().messages, 1U);
}

TEST(Recovery, DeletedStreamsStayDeleted) {
  World w(4);
  w.create(R"({"name":"S"})");
  ASSERT_TRUE(w.streams_->remove("S"));
  w.sim_.run_until_idle();
  w.crash(sim::Crash::kPower);
  EXPECT_EQ(w.streams_->size(), 0U);
}

/// Power cuts at random points under load: every acknowledged id stands where its answer said, and a
/// retry of every id ends with each of them stored exactly once.
TEST(Recovery, AcknowledgedMessagesSurviveAndRetriesDoNotDouble) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  World w(seed);
  w.create(R"({"name":"S","subjects":["a.*"]})");
  std::map<std::string, uint64_t> acked;
  uint64_t made = 0;
  for (int round = 0; round < 20; ++round) {
    for (uint64_t i = random() % 40; i > 0; --i) {
      // Publish new ids and retry those without an answer.
      const bool retry = random() % 4 == 0 && made > 0;
      const uint64_t number = retry ? random() % made : made++;
      const std::string id = "i" + std::to_string(number);
      w.publish(id, "a." + std::to_string(random() % 3));
      if (random() % 3 == 0) w.sim_.run_round();
    }
    for (const auto& [reply, ack] : w.acks_) {
      const std::string id = reply.substr(7);
      ASSERT_GT(seq_of(ack), 0U) << ack;
      const auto known = acked.emplace(id, seq_of(ack)).first;
      ASSERT_EQ(known->second, seq_of(ack)) << id;
    }
    w.acks_.clear();
    w.crash(random() % 2 == 0 ? sim::Crash::kPower : sim::Crash::kKill);
    for (const auto& [id, seq] : acked) ASSERT_EQ(w.payload_at(seq), id) << "round " << round;
  }
  for (uint64_t i = 0; i < made; ++i) w.publish("i" + std::to_string(i), "a.r");
  w.sim_.run_until_idle();
  std::map<std::string, int> times;
  const uint64_t last = w.streams_->find("S")->visible_last().value();
  for (uint64_t seq = 1; seq <= last; ++seq) ++times[w.payload_at(seq)];
  EXPECT_EQ(times.size(), made);
  for (const auto& [id, count] : times) EXPECT_EQ(count, 1) << id;
}

}  // namespace
}  // namespace sluice
