// A whole engine in the simulated world, a Kafka of one page beside it, and both adapters between them.
#pragma once

#include <algorithm>

#include "../node/node_world.h"
#include "adapters/kafka_sink/sink.h"
#include "adapters/kafka_source/adapter.h"
#include "base/headers.h"
#include "client/stream_client.h"
#include "fake_kafka.h"

namespace sluice::test {

class KafkaWorld : public testing::Test {
 protected:
  explicit KafkaWorld(uint64_t seed = 21) : w_(seed) {
    source_.brokers = sink_.brokers = {"b:9092"};
    source_.topics = {"t"};
    source_.name = "in";
    source_.stream = "S";
    sink_.name = "out";
    sink_.stream = "O";
    sink_.topic = "t";
  }
  ~KafkaWorld() override { drop(); }

  void SetUp() override {
    w_.start();
    open();
  }
  void open() {
    link_ = make_bus_link(w_.sim.env(), w_.node->bus());
    streams_ = StreamClient::make(w_.sim.env(), *link_);
  }
  void start_source() {
    auto made = make_kafka_source(w_.sim.env(), *streams_, source_, [this] {
      return Result<std::unique_ptr<KafkaReader>>(std::make_unique<FakeKafkaReader>(w_.sim.env(), kafka_));
    });
    ASSERT_TRUE(made) << made.error().detail;
    begin(*std::move(made));
  }
  void start_sink() {
    auto made = make_kafka_sink(w_.sim.env(), *streams_, sink_, [this] {
      return Result<std::unique_ptr<KafkaWriter>>(
          std::make_unique<FakeKafkaWriter>(w_.sim.env(), kafka_, KafkaWriterOptions{sink_.topic, "id", "group"}));
    });
    ASSERT_TRUE(made) << made.error().detail;
    begin(*std::move(made));
  }
  void begin(std::unique_ptr<Adapter> adapter) {
    adapter_ = std::move(adapter);
    started_ = std::nullopt;
    adapter_->start([this](Status s) { started_ = std::move(s); });
    ASSERT_TRUE(w_.sim.run_until([&] { return started_.has_value(); }, 30s));
  }
  bool run(const std::function<bool()>& done, std::chrono::nanoseconds limit = 120s) { return w_.sim.run_until(done, limit); }
  bool running() { return run([&] { return adapter_->health() == AdapterHealth::kRunning; }); }
  void stop() {
    bool stopped = false;
    adapter_->stop([&] { stopped = true; });
    ASSERT_TRUE(run([&] { return stopped; }));
    adapter_.reset();
  }
  void drop() {
    adapter_.reset();
    streams_.reset();
    link_.reset();
  }
  void crash(sim::Crash kind) {
    w_.sim.crash(kind);
    drop();
    w_.crash(kind);
    person_ = nullptr;
    w_.start();
    open();
  }
  NodeClient& person() {
    if (person_ == nullptr) person_ = &w_.client("person");
    return *person_;
  }
  struct Stored {
    std::string subject, headers, payload;
  };
  /// All of a stream but positions.
  std::vector<Stored> read(const std::string& stream) {
    std::vector<Stored> out;
    const Json state = w_.stream_state(person(), stream);
    const uint64_t first = state["first_seq"], last = state["last_seq"];
    for (uint64_t seq = first; seq <= last && seq > 0; ++seq) {
      std::optional<Result<StoredCopy>> got;
      streams_->get_message(stream, StreamSeq(seq), [&](Result<StoredCopy> r) { got = std::move(r); }).release();
      EXPECT_TRUE(run([&] { return got.has_value(); }));
      if (*got && !(*got)->subject.starts_with("SLUICE.KAFKA.")) out.push_back({(*got)->subject, (*got)->headers, (*got)->payload});
    }
    return out;
  }
  std::vector<std::string> payloads(const std::string& stream) {
    std::vector<std::string> out;
    for (const Stored& one : read(stream)) out.push_back(one.payload);
    return out;
  }
  uint64_t count(const std::string& stream) { return w_.stream_state(person(), stream)["messages"]; }

  NodeWorld w_;
  FakeKafka kafka_;
  KafkaSourceOptions source_;
  KafkaSinkOptions sink_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<StreamClient> streams_;
  std::unique_ptr<Adapter> adapter_;
  std::optional<Status> started_;
  NodeClient* person_ = nullptr;
};

}  // namespace sluice::test
