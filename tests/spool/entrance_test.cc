#include "spool/entrance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/sim_peer.h"
#include "spool/choria_file.h"
#include "spool_world.h"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;

class Entrance : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(w.open());
    w.gateway.set_state(LinkState::kReconnecting);
    w.start_sender();
    requests = std::make_unique<SpoolRequests>(w.sim.env(), *w.queue, w.sender.get(), "n1", false);
    entrance = std::make_unique<SpoolEntrance>(w.sim.env().executor, *requests, 64 * 1024);
  }
  void TearDown() override {
    entrance.reset();
    w.sim.run_until_idle();
  }
  std::unique_ptr<sim::SimPeer> connect() {
    auto [ours, theirs] = w.sim.net().make_pair();
    entrance->accept(std::move(ours));
    return std::make_unique<sim::SimPeer>(std::move(theirs));
  }
  json ask(sim::SimPeer& peer, const std::string& line) {
    peer.send(line + "\n");
    w.sim.settle();
    const auto answer = take_line(peer);
    return answer ? json::parse(*answer, nullptr, false) : json();
  }
  /// SimPeer's own lines end in CR LF.
  static std::optional<std::string> take_line(sim::SimPeer& peer) {
    const size_t end = peer.received().find('\n');
    return end == std::string::npos ? std::nullopt : std::optional(peer.take_bytes(end + 1)->substr(0, end));
  }
  std::string submit_line(const std::string& id, const std::string& more = "") {
    return R"({"op":"submit","message":{"id":")" + id + R"(","subject":"a.b","payload":"aGVsbG8=","sender":"user 7","reliable":true)" + more + "}}";
  }

  SpoolWorld w{5};
  std::unique_ptr<SpoolRequests> requests;
  std::unique_ptr<SpoolEntrance> entrance;
};

TEST_F(Entrance, AnswersWhenItIsOnDisk) {
  auto peer = connect();
  EXPECT_EQ(ask(*peer, submit_line("x")), json({{"id", "x"}, {"duplicate", false}}));
  EXPECT_EQ(ask(*peer, submit_line("x")), json({{"id", "x"}, {"duplicate", true}}));
  w.sim.disk_workers().set_latency(10ms, 10ms);
  peer->send(submit_line("y") + "\n");
  w.sim.run_until_idle();
  EXPECT_EQ(peer->received(), "") << "not before the sync";
  w.sim.settle();
  EXPECT_THAT(peer->received(), HasSubstr("\"y\""));
}

TEST_F(Entrance, MissingKeysGetDefaultsAndWrongOnesARefusal) {
  auto peer = connect();
  const json made = ask(*peer, R"({"op":"submit","message":{"subject":"a","payload":"eA==","sender":"me"}})");
  ASSERT_TRUE(made.contains("id")) << made;
  EXPECT_EQ(made["id"].get<std::string>().size(), 36u);
  const json shown = ask(*peer, R"({"op":"show","id":")" + made["id"].get<std::string>() + "\"}");
  EXPECT_EQ(shown["message"]["priority"], 0);
  EXPECT_EQ(shown["message"]["ttl"], 604800);
  EXPECT_EQ(shown["message"]["max_tries"], 500);
  EXPECT_EQ(shown["message"]["identity"], "n1");
  for (const auto& [line, text] : std::map<std::string, std::string>{
           {"", "a request is one JSON object a line"},
           {"[1]", "a request is one JSON object a line"},
           {R"({"op":"submit","message":{"headers":)" + std::string(20'000, '[') + std::string(20'000, ']') + "}}",
            "a request is not nested so deeply"},
           {R"({"op":"\\\"[[[[[[[[[[[["})", "op must be submit, list, show, replay, drop, repair or status"},
           {"{\"op\":\"fly\"}", "op must be submit, list, show, replay, drop, repair or status"},
           {"{\"op\":\"submit\"}", "'message' must be an object"},
           {submit_line("z", R"(,"ttl":0)"), "ttl is required"},
           {submit_line("z", R"(,"sign":true)"), "this node has no seed to sign with (signing.seed)"},
           {submit_line("z", R"(,"priority":9)"), "priority must be between 0 and 4"},
           {R"({"op":"show","id":"nobody"})", "no such message"},
           {R"({"op":"drop","id":"nobody"})", "no such message"},
           {R"({"op":"replay","id":"nobody"})", "no such message in the quarantine"}}) {
    const json answer = ask(*peer, line);
    ASSERT_TRUE(answer.contains("error")) << line << " → " << answer;
    EXPECT_EQ(answer["error"]["text"], text);
  }
}

TEST_F(Entrance, AnswersComeInOrderHoweverTheBytesArrive) {
  w.sim.disk_workers().set_latency(0ms, 5ms);
  w.sim.net().options().small_chunk_percent = 90;
  auto peer = connect();
  std::string lines;
  for (int i = 0; i < 500; ++i) lines += i % 3 == 2 ? "nonsense\n" : submit_line("m" + std::to_string(i)) + "\n";
  peer->send(lines);
  ASSERT_TRUE(w.sim.run_until([&] { return std::count(peer->received().begin(), peer->received().end(), '\n') == 500; }, 1min));
  for (int i = 0; i < 500; ++i) {
    const json answer = json::parse(*take_line(*peer));
    if (i % 3 == 2) {
      EXPECT_TRUE(answer.contains("error"));
    } else {
      EXPECT_EQ(answer["id"], "m" + std::to_string(i));
    }
  }
}

TEST_F(Entrance, ALineThatIsTooLongEndsTheConnection) {
  auto peer = connect();
  peer->send(std::string(200 * 1024, 'x'));
  w.sim.settle();
  EXPECT_THAT(peer->received(), HasSubstr("the line is too long"));
  EXPECT_TRUE(peer->closed());
  EXPECT_EQ(entrance->connections(), 0u);
}

TEST_F(Entrance, TooManyConnectionsAreTurnedAway) {
  std::vector<std::unique_ptr<sim::SimPeer>> peers;
  for (size_t i = 0; i < SpoolEntrance::kMaxConnections + 3; ++i) peers.push_back(connect());
  w.sim.settle();
  EXPECT_EQ(entrance->connections(), SpoolEntrance::kMaxConnections);
  EXPECT_TRUE(peers.back()->closed());
  peers.clear();
  w.sim.settle();
  EXPECT_EQ(entrance->connections(), 0u);
}

TEST_F(Entrance, OneThatLeavesEarlyStillHasItsMessageKept) {
  w.sim.disk_workers().set_latency(10ms, 10ms);
  auto peer = connect();
  peer->send(submit_line("x") + "\n");
  w.sim.run_until_idle();
  peer.reset();
  w.sim.settle();
  EXPECT_EQ(entrance->connections(), 0u);
  EXPECT_EQ(w.waiting(), 1u);
}

TEST_F(Entrance, ListsDropsAndReplays) {
  auto peer = connect();
  for (int i = 0; i < 7; ++i) ask(*peer, submit_line("m" + std::to_string(i), i % 2 == 0 ? R"(,"priority":2)" : ""));
  std::vector<std::string> seen;
  std::string after;
  do {
    const json page = ask(*peer, R"({"op":"list","limit":3,"after":")" + after + "\"}");
    ASSERT_LE(page["entries"].size(), 3u);
    for (const auto& entry : page["entries"]) seen.push_back(entry["id"]);
    after = page.value("after", "");
  } while (!after.empty());
  EXPECT_EQ(seen, (std::vector<std::string>{"m1", "m3", "m5", "m0", "m2", "m4", "m6"}));

  EXPECT_EQ(ask(*peer, R"({"op":"drop","id":"m3"})")["id"], "m3");
  json kept = ask(*peer, R"({"op":"list","box":"quarantine"})");
  ASSERT_EQ(kept["entries"].size(), 1u);
  EXPECT_EQ(kept["entries"][0]["reason"], "dropped by request");
  EXPECT_EQ(ask(*peer, R"({"op":"replay","id":"m3"})")["id"], "m3");
  EXPECT_EQ(ask(*peer, R"({"op":"list","box":"quarantine"})")["entries"].size(), 0u);
  EXPECT_EQ(ask(*peer, R"({"op":"drop","id":"m3"})")["id"], "m3");
  EXPECT_EQ(ask(*peer, R"({"op":"drop","id":"m3"})")["id"], "m3") << "for good";
  EXPECT_TRUE(ask(*peer, R"({"op":"show","id":"m3"})").contains("error"));
  const json status = ask(*peer, R"({"op":"status"})");
  EXPECT_EQ(status["submitted"], 7);
  EXPECT_EQ(status["connected"], false);
  EXPECT_EQ(ask(*peer, R"({"op":"repair"})")["moved"], 0);
}

}  // namespace
}  // namespace sluice::test
