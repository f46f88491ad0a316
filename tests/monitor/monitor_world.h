// A node with its monitor in the simulated world, and somebody who looks at the pages.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "monitor/monitor.h"
#include "node/node.h"
#include "sim/sim_env.h"
#include "sim/sim_peer.h"

namespace sluice::test {

using namespace std::chrono_literals;
using Json = nlohmann::json;

struct Answer {
  int status = 0;
  std::string head;
  std::string body;
  Json json() const { return Json::parse(body, nullptr, false); }
};

class MonitorWorld {
 public:
  explicit MonitorWorld(bool jetstream = true) : sim(1) {
    configure_logging({.level = LogLevel::kOff, .file = {}});
    NodeOptions options;
    options.server.jetstream = jetstream;
    options.server.server_name = "N";
    options.store.dir = "data";
    options.store.journal_file_bytes = 256 * kKiB;
    auto made = Node::make(sim.env(), options);
    EXPECT_TRUE(made.has_value());
    node = *std::move(made);
    EXPECT_TRUE(node->start().has_value());
    MonitorSubject subject{.server = node->server()};
    if (jetstream) {
      subject.store = &node->store();
      subject.store_dir = "data";
      subject.jetstream = [this] {
        return std::vector<AccountJetStream>{{.account = "$G",
                                              .streams = &node->streams(),
                                              .consumers = &node->consumers(),
                                              .api_total = node->api().stats().total,
                                              .api_errors = node->api().stats().errors}};
      };
    }
    pages = std::make_unique<MonitorPages>(sim.env(), subject, [this] { return process; });
    monitor = std::make_unique<Monitor>(sim.env(), *pages);
    if (jetstream) {
      monitor->add_metrics([this](MetricSink& sink) {
        node->streams().collect(sink);
        node->consumers().collect(sink);
      });
    }
    EXPECT_TRUE(monitor->listen("local", 8222).has_value());
    sim.settle();
  }
  ~MonitorWorld() {
    peers_.clear();
    monitor.reset();
    pages.reset();
    node.reset();
  }

  Answer get(const std::string& path) {
    sim::SimPeer peer(sim.network(), "127.0.0.1", monitor->port());
    peer.send(fmt::format("GET {} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path));
    sim.run_until_idle();
    const std::string got = peer.take_received();
    Answer out;
    const size_t end = got.find("\r\n\r\n");
    EXPECT_TRUE(got.starts_with("HTTP/1.1 ") && end != std::string::npos) << path << ": " << got;
    if (end == std::string::npos) return out;
    out.status = std::stoi(got.substr(9, 3));
    out.head = got.substr(0, end + 2);
    out.body = got.substr(end + 4);
    return out;
  }

  /// A NATS client; `bytes` follow its CONNECT.
  sim::SimPeer& client(std::string_view name, std::string_view bytes = "") {
    peers_.push_back(std::make_unique<sim::SimPeer>(sim.network(), "127.0.0.1", node->server().port()));
    peers_.back()->send(fmt::format("CONNECT {{\"verbose\":false,\"name\":\"{}\",\"lang\":\"test\",\"version\":\"1.2\","
                                    "\"headers\":true}}\r\nPING\r\n{}",
                                    name, bytes));
    sim.settle();
    return *peers_.back();
  }
  static std::string pub(std::string_view subject, std::string_view body, std::string_view reply = "") {
    return fmt::format("PUB {} {} {}\r\n{}\r\n", subject, reply, body.size(), body);
  }
  /// Streams S (file, consumer C, 3 messages) and M (memory).
  void make_streams() {
    client("maker", pub("$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s.>"]})") +
                        pub("$JS.API.STREAM.CREATE.M", R"({"name":"M","subjects":["m"],"storage":"memory"})") +
                        pub("$JS.API.CONSUMER.CREATE.S.C",
                            R"({"stream_name":"S","config":{"name":"C","durable_name":"C","ack_policy":"explicit"}})") +
                        pub("s.1", "one") + pub("s.2", "two") + pub("s.3", "three") + pub("m", "x"));
  }

  sim::SimEnv sim;
  ProcessFigures process{.resident_bytes = 12'345'678, .cpu_seconds = 1.5};
  std::unique_ptr<Node> node;
  std::unique_ptr<MonitorPages> pages;
  std::unique_ptr<Monitor> monitor;

 private:
  std::vector<std::unique_ptr<sim::SimPeer>> peers_;
};

}  // namespace sluice::test
