// A whole engine in the simulated world, its clients, and the few things tests do with them.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "node/node.h"
#include "node_client.h"
#include "sim/sim_env.h"

namespace sluice::test {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using sim::Crash;
using sim::DiskOp;

class NodeWorld {
 public:
  explicit NodeWorld(uint64_t seed = 1) : sim(seed) {
    configure_logging({.level = LogLevel::kOff, .file = {}});
    options.server.jetstream = true;
    options.server.server_name = "N";
    options.store.dir = "data";
    options.store.journal_file_bytes = 256 * kKiB;
    options.store.segment_max_bytes = 256 * kKiB;
    options.store.cache_bytes = kMiB;
    options.store.reserve_bytes = 512 * kKiB;
  }
  ~NodeWorld() {
    clients_.clear();
    node.reset();
  }

  void start() {
    auto made = Node::make(sim.env(), options);
    ASSERT_TRUE(made.has_value()) << made.error().detail;
    node = *std::move(made);
    const Status started = node->start();
    ASSERT_TRUE(started.has_value()) << started.error().detail;
    sim.settle();
  }
  /// The process ends in the middle of things; its clients go with it.
  void crash(Crash kind) {
    sim.crash(kind);
    clients_.clear();
    node.reset();
    sim.drop_tasks();
    sim.disk().power_on();
  }
  void restart(Crash kind) {
    crash(kind);
    start();
  }

  NodeClient& client(const std::string& name, const std::string& user = {},
                     const std::string& password = {}) {
    clients_.push_back(
        std::make_unique<NodeClient>(sim, name, node->server().port(), user, password));
    sim.run_until_idle();
    EXPECT_EQ(clients_.back()->infos().size(), 1u);
    return *clients_.back();
  }

  /// One request, one answer, the world run until then.
  Received ask(NodeClient& from, std::string_view subject, std::string_view body = "", std::string_view headers = "") {
    const std::string inbox = from.request(subject, body, headers);
    EXPECT_TRUE(sim.run_until([&] { return from.waiting(inbox) > 0; }, 10s)) << "no answer on " << subject;
    auto got = from.take(inbox);
    return got.empty() ? Received{} : got.front();
  }
  Json api(NodeClient& from, std::string_view verb, std::string_view body = "") {
    return Json::parse(ask(from, fmt::format("$JS.API.{}", verb), body).payload, nullptr, false);
  }
  /// `rest`: further members of the config, each after a comma.
  void make_stream(NodeClient& from, std::string_view name, std::string_view subjects, std::string_view rest = "") {
    const Json made = api(from, fmt::format("STREAM.CREATE.{}", name),
                          fmt::format(R"({{"name":"{}","subjects":["{}"]{}}})", name, subjects, rest));
    EXPECT_FALSE(made.contains("error")) << made.dump();
  }
  void make_consumer(NodeClient& from, std::string_view stream, std::string_view name, std::string_view rest = "") {
    const Json made = api(from, fmt::format("CONSUMER.CREATE.{}.{}", stream, name),
                          fmt::format(R"({{"stream_name":"{}","config":{{"name":"{}","durable_name":"{}",)"
                                      R"("ack_policy":"explicit"{}}}}})",
                                      stream, name, name, rest));
    EXPECT_FALSE(made.contains("error")) << made.dump();
  }
  Json publish(NodeClient& from, std::string_view subject, std::string_view payload, std::string_view headers = "") {
    return Json::parse(ask(from, subject, payload, headers).payload, nullptr, false);
  }
  Json stream_state(NodeClient& from, std::string_view name) {
    return api(from, fmt::format("STREAM.INFO.{}", name))["state"];
  }
  Json consumer_info(NodeClient& from, std::string_view stream, std::string_view name) {
    return api(from, fmt::format("CONSUMER.INFO.{}.{}", stream, name));
  }
  /// What is there now, up to `batch`; the closing status is left out.
  std::vector<Received> pull(NodeClient& from, std::string_view stream, std::string_view consumer, int batch) {
    const std::string inbox = from.request(fmt::format("$JS.API.CONSUMER.MSG.NEXT.{}.{}", stream, consumer),
                                           fmt::format(R"({{"batch":{},"no_wait":true}})", batch));
    sim.settle();
    std::vector<Received> out;
    for (Received& got : from.take(inbox)) {
      if (got.status().empty()) out.push_back(std::move(got));
    }
    return out;
  }
  void ack(NodeClient& from, const Received& message) { from.publish(message.reply, "+ACK"); }
  /// Waits for the server's word that the ack is on disk.
  void ack_sync(NodeClient& from, const Received& message) { ask(from, message.reply, "+ACK"); }

  sim::SimEnv sim;
  NodeOptions options;
  std::unique_ptr<Node> node;

 private:
  std::vector<std::unique_ptr<NodeClient>> clients_;
};

/// Payloads in order.
inline std::vector<std::string> payloads(const std::vector<Received>& messages) {
  std::vector<std::string> out;
  for (const Received& m : messages) out.push_back(m.payload);
  return out;
}

/// Stream sequence of a delivery: `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.…`
inline uint64_t delivered_seq(const Received& message) {
  size_t at = 0;
  for (int dots = 0; dots < 5; ++dots) at = message.reply.find('.', at) + 1;
  return std::stoull(message.reply.substr(at));
}

}  // namespace sluice::test
