#include "replicator/replicator.h"

#include <gtest/gtest.h>

#include "sim/sim_env.h"

namespace sluice {
namespace {

/// To a server that is never reached.
class DeadLink : public NatsLink {
 public:
  struct Subscription : LinkSubscription {
    void pause() override {}
    void resume() override {}
    void drain() override {}
  };
  LinkState state() const override { return LinkState::kConnecting; }
  Ticket on_state(std::move_only_function<void(LinkState)>) override { return {}; }
  Status publish(const LinkMessage&) override { return fail(Errc::kClosed, "not connected"); }
  Ticket request(const LinkMessage&, std::chrono::nanoseconds, std::move_only_function<void(Result<LinkMessage>)>) override { return {}; }
  std::unique_ptr<LinkSubscription> subscribe(std::string_view, std::string_view, std::move_only_function<void(const LinkMessage&)>) override {
    return std::make_unique<Subscription>();
  }
  std::string new_inbox() override { return "_INBOX.x"; }
  std::string peer() const override { return "nats://nowhere"; }
  uint64_t dropped() const override { return 0; }
};

struct ReplicatorWorld {
  ReplicatorWorld() {
    options.name = "edge";
    options.state_dir = "/state";
    options.streams.resize(1);
    options.streams[0].stream = "ORDERS";
  }
  ~ReplicatorWorld() {
    replicator.reset();
    sim.drop_tasks();
  }
  void keep(const std::string& path) {
    const std::string folder = path.substr(0, path.rfind('/'));
    ASSERT_TRUE(sim.disk().make_dirs(folder) && sim.disk().open(path, OpenMode::kCreate));
  }
  void start() {
    replicator = std::make_unique<Replicator>(sim.env(), options, "host", [this](const LinkOptions& where) {
      if (!where.dictionary_folder.empty()) folders.push_back(where.dictionary_folder);
      return Result<std::unique_ptr<NatsLink>>(std::make_unique<DeadLink>());
    });
    ASSERT_TRUE(replicator->start());
  }

  sim::SimEnv sim{1};
  ReplicatorOptions options;
  std::vector<std::string> folders;
  std::unique_ptr<Replicator> replicator;
};

TEST(Replicator, DictionariesGoWithTheirCopy) {
  ReplicatorWorld w;
  w.keep("/state/zstd/ORDERS_edge_target/to-server-1.dict");
  w.keep("/state/zstd/GONE_edge_source/to-client-1.dict");
  w.keep("/state/zstd/GONE_edge_target/to-server-1.dict");
  w.keep("/state/zstd/GONE_edge_target/to-server-2.dict");
  w.keep("/state/zstd/FOREIGN/notes.txt");
  w.keep("/state/GONE_edge.position");
  w.start();
  EXPECT_EQ(w.folders, (std::vector<std::string>{"/state/zstd/ORDERS_edge_source", "/state/zstd/ORDERS_edge_target"}));
  EXPECT_TRUE(w.sim.disk().exists("/state/zstd/ORDERS_edge_target/to-server-1.dict"));
  EXPECT_EQ(w.sim.disk().list("/state/zstd"), (std::vector<std::string>{"FOREIGN", "ORDERS_edge_target"}));
  EXPECT_TRUE(w.sim.disk().exists("/state/zstd/FOREIGN/notes.txt"));
  EXPECT_TRUE(w.sim.disk().exists("/state/GONE_edge.position")) << "a copy that comes back goes on there";
}

TEST(Replicator, ThereNeedBeNoDictionariesAndNoStateFolder) {
  ReplicatorWorld w;
  w.start();
  w.replicator.reset();
  w.options.state_dir.clear();
  w.start();
  EXPECT_EQ(w.folders.size(), 2u);
}

}  // namespace
}  // namespace sluice
