// Adapters of a configuration on a whole engine: independent of one another, exchanged by a reload.
#include "gateway/adapter_host.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "../node/node_world.h"
#include "config/load.h"

namespace sluice::test {
namespace {

class AdapterHostTest : public testing::Test {
 protected:
  void SetUp() override {
    w_.start();
    CoreAccess core;
    core.make_link = [this](const LinkOptions&, const std::string&) -> Result<std::unique_ptr<NatsLink>> {
      return make_bus_link(w_.sim.env(), w_.node->bus());
    };
    host_ = std::make_unique<AdapterHost>(w_.sim.env(), core);
  }
  void TearDown() override {
    bool stopped = false;
    host_->stop([&] { stopped = true; });
    EXPECT_TRUE(w_.sim.run_until([&] { return stopped; }, 20s));
    host_.reset();
  }
  static Config config(std::string_view adapters) {
    Problems problems("f.yaml");
    Config out = parse_config("adapters:\n" + std::string(adapters), false, [](const std::string&) { return std::nullopt; }, problems);
    EXPECT_TRUE(problems.empty()) << problems.to_text();
    return out;
  }
  static std::string subject_adapter(const std::string& name, const std::string& more = "") {
    return fmt::format("  - type: nats_subject\n    name: {0}\n    ingest: {{subjects: [{0}.in.>], answer: false}}\n"
                       "    stream: {{name: {0}, source: \"{0}.in.>\", destination: \"{0}.out.>\"}}\n{1}",
                       name, more);
  }
  AdapterChanges reload(std::string_view adapters) {
    EXPECT_TRUE(host_->prepare(config(adapters)));
    return host_->commit();
  }
  std::string states() {
    std::string out;
    host_->each([&](const HostedAdapter& one) { out += fmt::format("{}:{} ", one.name(), to_string(one.adapter().health())); });
    return out;
  }
  uint64_t stored(const std::string& stream) {
    return w_.stream_state(admin(), stream).value("messages", uint64_t{0});
  }
  NodeClient& admin() {
    if (admin_ == nullptr) admin_ = &w_.client("admin");
    return *admin_;
  }

  NodeWorld w_;
  std::unique_ptr<AdapterHost> host_;
  NodeClient* admin_ = nullptr;
};

TEST_F(AdapterHostTest, ReloadAddsChangesAndRemoves) {
  ASSERT_TRUE(host_->start(config(subject_adapter("A") + subject_adapter("B"))));
  w_.sim.advance(1s);
  EXPECT_EQ(states(), "A:running B:running ");
  const auto changes = reload(subject_adapter("B", "    max_in_flight: 5\n") + subject_adapter("C"));
  EXPECT_EQ(changes.added, std::vector<std::string>{"C"});
  EXPECT_EQ(changes.changed, std::vector<std::string>{"B"});
  EXPECT_EQ(changes.removed, std::vector<std::string>{"A"});
  w_.sim.advance(1s);
  EXPECT_EQ(states(), "B:running C:running ");
  for (const char* subject : {"A.in.x", "B.in.x", "C.in.x"}) admin().publish(subject, "1");
  w_.sim.advance(1s);
  EXPECT_EQ(stored("A"), 0u) << "removed";
  EXPECT_EQ(stored("B"), 1u);
  EXPECT_EQ(stored("C"), 1u);
  EXPECT_TRUE(reload(subject_adapter("B", "    max_in_flight: 5\n") + subject_adapter("C")).empty());
}

TEST_F(AdapterHostTest, NothingThatComesDuringAChangeIsLost) {
  ASSERT_TRUE(host_->start(config(subject_adapter("A"))));
  w_.sim.advance(1s);
  uint64_t sent = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 10; ++i) {
      admin().publish("A.in.x", std::to_string(sent++));
      w_.sim.advance(1ms);
    }
    (void)reload(subject_adapter("A", fmt::format("    max_in_flight: {}\n", 10 + round)));
  }
  w_.sim.advance(10s);
  EXPECT_EQ(stored("A"), sent);
  EXPECT_EQ(states(), "A:running ");
}

TEST_F(AdapterHostTest, WhatCantBeBuiltChangesNothing) {
  ASSERT_TRUE(host_->start(config(subject_adapter("A"))));
  w_.sim.advance(1s);
  const Status refused = host_->prepare(
      config(subject_adapter("A", "    max_in_flight: 5\n") +
             "  - {type: nats_subject, name: Z, ingest: {subjects: [z.>]}, stream: {name: Z, destination: \"{{wildcard(1)}}.x\"}}\n"));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("adapter 'Z'"), std::string::npos) << refused.error().detail;
  w_.sim.advance(1s);
  admin().publish("A.in.x", "1");
  w_.sim.advance(1s);
  EXPECT_EQ(states(), "A:running ");
  EXPECT_EQ(stored("A"), 1u);
}

TEST_F(AdapterHostTest, OneThatCantStartIsTriedAgainAndHoldsUpNobody) {
  w_.make_stream(admin(), "TAKEN", "A.out.>");
  ASSERT_TRUE(host_->start(config(subject_adapter("A") + subject_adapter("B"))));
  w_.sim.advance(1s);
  EXPECT_NE(host_->trouble().find("adapter A cannot start: "), std::string::npos) << host_->trouble();
  EXPECT_EQ(states(), "A:stopped B:running ");
  w_.sim.advance(2min);
  admin().publish("B.in.x", "1");
  w_.sim.advance(1s);
  EXPECT_EQ(stored("B"), 1u);
  w_.api(admin(), "STREAM.DELETE.TAKEN");
  w_.sim.advance(10min);
  EXPECT_EQ(states(), "A:running B:running ");
  EXPECT_EQ(host_->trouble(), "");
  uint64_t restarts = 0;
  host_->each([&](const HostedAdapter& one) { restarts += one.restarts(); });
  EXPECT_GE(restarts, 3u);
  EXPECT_LE(restarts, 14u) << "back-off grows";
}

TEST_F(AdapterHostTest, StopsInTheMidstOfAnything) {
  w_.make_stream(admin(), "TAKEN", "A.out.>");
  ASSERT_TRUE(host_->start(config(subject_adapter("A") + subject_adapter("B"))));
  w_.sim.advance(1500ms);
  (void)reload(subject_adapter("B", "    max_in_flight: 5\n") + subject_adapter("C"));
  (void)reload(subject_adapter("B", "    max_in_flight: 6\n"));
  // TearDown() stops before anything of this was told.
}

// What a file named in the section holds counts, not only its name.
TEST_F(AdapterHostTest, ASecretFileWithNewContentChangesItsAdapter) {
  std::string path = std::filesystem::temp_directory_path() / "sluice-secret-XXXXXX";
  const int fd = ::mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ::close(fd);
  const auto write = [&](const char* secret) { std::ofstream(path) << secret; };
  const std::string text = "  - {type: http_events, name: E, listen: \"127.0.0.1:0\", authentication: {token_file: \"" + path + "\"}}\n";
  write("one");
  ASSERT_TRUE(host_->start(config(text)));
  w_.sim.advance(1s);
  EXPECT_TRUE(reload(text).empty());
  write("two");
  EXPECT_EQ(reload(text).changed, std::vector<std::string>{"E"});
  EXPECT_TRUE(reload(text).empty());
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sluice::test
