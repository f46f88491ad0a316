// A source and a target on one simulated engine, compared by what its service answers or by reading.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "../node/node_world.h"
#include "base/headers.h"
#include "client/stream_client.h"
#include "replicator/stream_comparison.h"

namespace sluice::test {

class ProofWorld {
 public:
  explicit ProofWorld(uint64_t seed = 1) : world(seed) {
    world.start();
    auto& admin = world.client("admin");
    world.make_stream(admin, "S", "s.>", R"(,"duplicate_window":100000000)");
    world.make_stream(admin, "T", "t.>", R"(,"duplicate_window":100000000)");
    link = make_bus_link(world.sim.env(), world.node->bus());
    client = StreamClient::make(world.sim.env(), *link);
  }

  Stream& stream(std::string_view name) { return *world.node->streams().find(name); }
  void put(std::string_view name, std::string_view subject, std::string_view headers, std::string_view payload) {
    stream(name).offer({.subject = subject, .reply = "", .headers = headers, .payload = payload}, [](std::string_view ack) {
      EXPECT_EQ(ack.find("error"), ack.npos) << ack;
    });
  }
  void source(std::string_view payload, std::string_view subject = "s.1", std::string_view headers = "") { put("S", subject, headers, payload); }
  void copy(uint64_t of, std::string_view payload, std::string_view subject = "s.1", std::string headers = "") {
    append_header(headers, "Choria-SR-Source", fmt::format("S {} site worker 1", of));
    put("T", subject, headers, payload);
  }
  void settle() { world.sim.settle(); }

  std::unique_ptr<StreamDigests> digests(std::string_view name, bool served) {
    return served ? StreamDigests::served(world.sim.env(), *link, "$JS.API", name)
                  : StreamDigests::read(world.sim.env(), *client, name);
  }
  bool wait(const std::function<bool()>& ended) { return world.sim.run_until(ended, 600s); }

  /// Compares S with T as they are now.
  ComparisonReport compare(ComparisonOptions options = {}, bool source_served = true, bool target_served = true) {
    settle();
    options.key = {1};
    options.source_stream = "S";
    options.source_end = stream("S").store().state().last_seq;
    options.target_end = stream("T").store().state().last_seq;
    source_digests = digests("S", source_served);
    target_digests = digests("T", target_served);
    comparison = std::make_unique<StreamComparison>(options, *source_digests, *target_digests,
                                                    [this](const auto& ended) { return wait(ended); });
    const Status done = comparison->run();
    EXPECT_TRUE(done.has_value()) << done.error().detail;
    return comparison->report();
  }
  std::vector<uint64_t> missing(uint64_t max = 1000) {
    std::vector<uint64_t> out;
    const auto listed = comparison->list_missing(max);
    EXPECT_TRUE(listed.has_value()) << listed.error().detail;
    for (const StreamSeq seq : *listed) out.push_back(seq.value());
    return out;
  }

  NodeWorld world;
  std::unique_ptr<NatsLink> link;
  std::unique_ptr<StreamClient> client;
  std::unique_ptr<StreamDigests> source_digests, target_digests;
  std::unique_ptr<StreamComparison> comparison;
};

}  // namespace sluice::test
