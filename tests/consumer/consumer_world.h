// Consumers on a simulated loop over fakes, and a client that remembers what it got.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "consumer/consumer.h"
#include "consumer/consumers.h"
#include "fake_bus.h"
#include "fake_stream.h"
#include "sim/sim_env.h"

namespace sluice::test {

using namespace std::chrono_literals;

struct Got {
  std::string subject, reply, headers, payload;
  bool is_status() const { return payload.empty() && headers.starts_with("NATS/1.0 "); }
  uint64_t seq() const { return parse_ack_subject(reply).value_or(DeliveryMeta{}).stream_seq.value(); }
  DeliveryMeta meta() const { return parse_ack_subject(reply).value_or(DeliveryMeta{}); }
};

class ConsumerWorld {
 public:
  ConsumerWorld() : ConsumerWorld(named("S")) {}
  explicit ConsumerWorld(StreamConfig stream, uint64_t seed = 1)
      : sim(seed), bus(sim.env().executor), stream_(&streams.add(sim.clock(), std::move(stream))) {
    start();
    inbox_ = bus.subscribe("_INBOX.>", {}, [this](const Message& m, const Origin&) { take(m); });
  }
  ~ConsumerWorld() {
    consumers.reset();
    sim.drop_tasks();
  }

  static StreamConfig named(std::string name, Retention retention = Retention::kLimits) {
    StreamConfig c;
    c.name = std::move(name);
    c.subjects = {"a.>"};
    c.retention = retention;
    return c;
  }
  static ConsumerConfig pull(std::string name = "C") {
    ConsumerConfig c;
    c.durable_name = std::move(name);
    c.ack_policy = AckPolicy::kExplicit;
    return c;
  }
  void start() { consumers = Consumers::make(sim.env(), bus, streams, &store, options); }
  /// The process dies; whatever the store was given is found again.
  void restart() {
    consumers.reset();
    sim.drop_tasks();
    streams.forget_listeners();
    start();
    run();
  }
  Consumer& make(const ConsumerConfig& config) {
    auto made = consumers->put(stream(), config, ConsumerAction::kCreateOrUpdate, false);
    EXPECT_TRUE(made) << (made ? 0 : made.error().api_code) << (made ? "" : made.error().detail);
    run();
    return **made;
  }
  uint16_t code_of(const ConsumerConfig& config, ConsumerAction action = ConsumerAction::kCreateOrUpdate) {
    const auto made = consumers->put(stream(), config, action, false);
    return made ? 0 : made.error().api_code;
  }
  Consumer& consumer(std::string_view name = "C") { return *consumers->find(stream().config().name, name); }
  FakeStream& stream() { return *stream_; }
  void run() { sim.run_until_idle(); }
  void fetch(std::string_view body, std::string_view inbox = "_INBOX.1", std::string_view name = "C") {
    request(std::string("$JS.API.CONSUMER.MSG.NEXT.S.").append(name), body, inbox);
    run();
  }
  void request(std::string_view subject, std::string_view body, std::string_view reply = {}) {
    bus.publish(Message{subject, reply, {}, body});
  }
  void ack(const Got& message, std::string_view body = "+ACK", std::string_view reply = {}) {
    request(message.reply, body, reply);
    run();
  }
  void take(const Message& m) {
    got.push_back({std::string(m.subject), std::string(m.reply), std::string(m.headers), std::string(m.payload)});
  }
  /// What came since the last call.
  std::vector<Got> taken() { return std::exchange(got, {}); }
  std::vector<uint64_t> taken_seqs() {
    std::vector<uint64_t> out;
    for (const Got& g : taken()) {
      if (!g.reply.empty()) out.push_back(g.seq());
    }
    return out;
  }
  /// Status lines, without the version.
  std::vector<std::string> taken_statuses() {
    std::vector<std::string> out;
    for (const Got& g : taken()) {
      if (g.is_status()) out.push_back(g.headers.substr(9));
    }
    return out;
  }

  sim::SimEnv sim;
  FakeBus bus;
  FakeStreams streams;
  FakeStore store;
  ConsumersOptions options;
  std::unique_ptr<Consumers> consumers;
  std::vector<Got> got;

 private:
  FakeStream* stream_;
  std::unique_ptr<BusSubscription> inbox_;
};

}  // namespace sluice::test
