// A source, a target and a copy between them, on the simulated world.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/headers.h"
#include "fake_site.h"
#include "replicator/provenance.h"
#include "replicator/stream_copy.h"
#include "sim/sim_env.h"

namespace sluice {

inline StreamCopyOptions copy_options() {
  StreamCopyOptions o;
  o.name = "reg";
  o.stream = "SOURCE";
  o.target_stream = "TARGET";
  o.window_messages = 50;
  return o;
}

inline const Provenance kCopyMark{"SOURCE", {}, "edge", "reg", 0};

struct CopyWorld {
  explicit CopyWorld(uint64_t seed, StreamCopyOptions wanted = copy_options())
      : sim(seed), source(sim.env()), target(sim.env()), options(std::move(wanted)) {}

  void fill(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      size_t n = ++filled;
      source.store("SOURCE", "s." + std::to_string(n % 7), n % 3 == 0 ? "NATS/1.0\r\nn: " + std::to_string(n) + "\r\n\r\n" : "",
                   n % 11 == 0 ? "" : "payload " + std::to_string(n), sim.clock().wall());
    }
  }
  void start() {
    std::unique_ptr<Limiter> limiter;
    if (options.inspect.enabled()) {
      limiter = *Limiter::make(sim.env(), options, "edge", "/data/state", source);
      limiter->start();
    }
    copy = std::make_unique<StreamCopy>(sim.env(), options, "edge", "/data/state",
                                        StreamCopy::Sites{source, target, source}, std::move(limiter));
    ASSERT_TRUE(copy->start());
  }
  /// kill -9 of the replicator.
  void kill() {
    copy.reset();
    sim.run_until_idle();
  }
  const CopyPosition& position() { return copy->figures().position; }
  const Ledger& ledger() { return position().ledger; }
  bool run_until_passed(std::chrono::nanoseconds most = std::chrono::seconds(600)) {
    return sim.run_until([&] { return position().source_seq.value() == source.streams["SOURCE"].last_seq; }, most);
  }
  /// Target equals source: same messages, same order, nothing twice.
  void expect_equal() {
    auto& from = source.streams["SOURCE"].messages;
    auto& to = target.streams["TARGET"].messages;
    ASSERT_EQ(to.size(), from.size());
    auto it = from.begin();
    for (auto& [seq, message] : to) {
      ASSERT_EQ(message.subject, it->second.subject);
      ASSERT_EQ(message.payload, it->second.payload);
      auto mark = find_provenance(message.headers, kCopyMark);
      ASSERT_TRUE(mark);
      ASSERT_EQ(mark->seq, it->second.seq);
      ASSERT_EQ(find_header(message.headers, "n"), find_header(it->second.headers, "n"));
      ++it;
    }
  }

  sim::SimEnv sim;
  FakeSite source;
  FakeSite target;
  StreamCopyOptions options;
  size_t filled = 0;
  std::unique_ptr<StreamCopy> copy;
};

}  // namespace sluice
