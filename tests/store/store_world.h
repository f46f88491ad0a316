// A store on the simulated disk, for tests: open, crash, open again, count.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "sim/sim_env.h"
#include "store/store.h"

namespace sluice {

/// What collect() tells, by name.
struct Figures : MetricSink {
  void counter(std::string_view name, std::string_view, const MetricLabels&, double value) override { values[std::string(name)] += value; }
  void gauge(std::string_view name, std::string_view, const MetricLabels&, double value) override { values[std::string(name)] += value; }
  std::map<std::string, double> values;
};

struct StoreWorld {
  explicit StoreWorld(uint64_t seed = 1) : sim(seed) {
    options.dir = "/data";
    options.journal_file_bytes = 64 * kKiB;
    options.cache_bytes = 512 * kKiB;
    options.reserve_bytes = 0;
  }
  void open() {
    auto opened = Store::open(sim.env(), options);
    ASSERT_TRUE(opened) << opened.error().detail;
    store = std::move(*opened);
  }
  void run() { sim.run_until_idle(); }
  void crash(sim::Crash kind) {
    sim.crash(kind);
    store.reset();
    sim.drop_tasks();
    open();
  }
  void close_and_open() {
    bool closed = false;
    store->close([&](Status s) { closed = s.has_value(); });
    run();
    ASSERT_TRUE(closed);
    store.reset();
    open();
  }
  StreamStore& make(const std::string& name) { return *store->create_stream(name, "{\"n\":\"" + name + "\"}", StreamSeq(0)).value(); }
  StreamStore& find(const std::string& name) {
    StreamStore* found = store->find_stream(name);
    EXPECT_NE(found, nullptr) << name;
    return *found;
  }
  static StreamSeq put(StreamStore& s, std::string_view subject, std::string_view payload, WallNanos time = 1) {
    return s.append({.subject = subject, .headers = {}, .payload = payload, .time = time, .msg_id = {}});
  }
  std::string newest_journal() {
    std::string last;
    for (const std::string& path : sim.disk().all_files("/data/journal")) {
      if (path.ends_with(".jnl") && path.find("spare") == std::string::npos) last = path;
    }
    return last;
  }
  double figure(const std::string& name) {
    Figures figures;
    store->collect(figures);
    EXPECT_TRUE(figures.values.contains(name)) << name;
    return figures.values[name];
  }
  size_t count_files(const std::string& ending) {
    size_t n = 0;
    for (const std::string& path : sim.disk().all_files("/data")) n += path.ends_with(ending) ? 1 : 0;
    return n;
  }

  sim::SimEnv sim;
  StoreOptions options;
  std::unique_ptr<Store> store;
};

}  // namespace sluice
