// Choria's own streams on a whole engine: made as recorded, then left to their operator.
#include "gateway/auto_streams.h"

#include <fstream>

#include "../node/node_world.h"
#include "test_paths.h"

namespace sluice::test {
namespace {

AutoStreamsSettings all_on() {
  AutoStreamsSettings out;
  for (AutoStreamSettings* one : {&out.events, &out.machine, &out.advisories, &out.executor, &out.leader_election}) one->enabled = true;
  return out;
}

class AutoStreamsTest : public testing::Test {
 protected:
  void SetUp() override {
    w_.start();
    link_ = make_bus_link(w_.sim.env(), w_.node->bus());
    client_ = StreamClient::make(w_.sim.env(), *link_);
    admin_ = &w_.client("admin");
  }
  /// "EVENTS:made …" of one start of the daemon.
  std::string run(const AutoStreamsSettings& settings) {
    AutoStreams streams(w_.sim.env(), *client_, settings, 1);
    streams.start();
    w_.sim.advance(2s);
    std::string out;
    for (const AutoStreamView& view : streams.streams()) {
      out += fmt::format("{}:{} ", view.stream, to_string(view.state));
      detail_ = view.detail.empty() ? detail_ : view.detail;
    }
    return out;
  }
  Json config(const std::string& stream) { return w_.api(*admin_, "STREAM.INFO." + stream)["config"]; }

  NodeWorld w_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<StreamClient> client_;
  NodeClient* admin_ = nullptr;
  std::string detail_;
};

TEST_F(AutoStreamsTest, AreMadeAsABrokerMakesThem) {
  EXPECT_EQ(run(all_on()),
            "CHORIA_EVENTS:made CHORIA_MACHINE:made CHORIA_STREAM_ADVISORIES:made CHORIA_EXECUTOR:made KV_CHORIA_LEADER_ELECTION:made ");
  std::ifstream file(std::string(SLUICE_FIXTURES) + "/choria/auto-streams.json");
  const Json recorded = Json::parse(file)["streams"];
  ASSERT_EQ(recorded.size(), 5u);
  for (const auto& [name, stream] : recorded.items()) {
    const Json now = config(name);
    for (const auto& [key, value] : stream["config"].items()) {
      if (key == "metadata") continue;
      EXPECT_EQ(now.value(key, Json()), value) << name << "." << key;
    }
  }
}

TEST_F(AutoStreamsTest, NothingIsMadeUnasked) {
  EXPECT_EQ(run({}), "");
  EXPECT_TRUE(w_.api(*admin_, "STREAM.NAMES")["streams"].is_null() || w_.api(*admin_, "STREAM.NAMES")["streams"].empty());
}

TEST_F(AutoStreamsTest, FollowTheConfigurationUntilAnOperatorEditsThem) {
  AutoStreamsSettings settings;
  settings.events.enabled = true;
  EXPECT_EQ(run(settings), "CHORIA_EVENTS:made ");
  EXPECT_EQ(run(settings), "CHORIA_EVENTS:there ");
  settings.events.retention = 48h;
  EXPECT_EQ(run(settings), "CHORIA_EVENTS:updated ");
  EXPECT_EQ(config("CHORIA_EVENTS")["max_age"], 48 * 3600 * 1'000'000'000LL);
  Json edited = config("CHORIA_EVENTS");
  edited["max_msgs"] = 1000;
  ASSERT_FALSE(w_.api(*admin_, "STREAM.UPDATE.CHORIA_EVENTS", edited.dump()).contains("error"));
  EXPECT_EQ(run(settings), "CHORIA_EVENTS:differs ");
  EXPECT_EQ(detail_, "max_msgs is 1000, wanted -1");
  settings.events.retention = 72h;
  EXPECT_EQ(run(settings), "CHORIA_EVENTS:differs ");
  EXPECT_EQ(detail_, "max_msgs is 1000, wanted -1; max_age is 48h0m0s, wanted 72h0m0s");
  EXPECT_EQ(config("CHORIA_EVENTS")["max_msgs"], 1000);
  EXPECT_EQ(config("CHORIA_EVENTS")["max_age"], 48 * 3600 * 1'000'000'000LL);
}

TEST_F(AutoStreamsTest, ABrokersOwnStreamsAreTakenAsTheyAre) {
  w_.make_stream(*admin_, "CHORIA_MACHINE", "choria.machine.>", R"(,"max_age":3600000000000)");
  AutoStreamsSettings settings;
  settings.machine.enabled = settings.events.enabled = true;
  EXPECT_EQ(run(settings), "CHORIA_EVENTS:made CHORIA_MACHINE:differs ");
  EXPECT_NE(detail_.find("max_age is 1h0m0s, wanted 24h0m0s"), std::string::npos) << detail_;
}

TEST_F(AutoStreamsTest, ARefusalHoldsUpNobodyAndSilenceIsWaitedFor) {
  w_.make_stream(*admin_, "MINE", "choria.lifecycle.event.>");
  AutoStreamsSettings settings = all_on();
  settings.executor_collective = "mcollective";
  EXPECT_NE(run(settings).find("CHORIA_EVENTS:refused CHORIA_MACHINE:made"), std::string::npos);
  EXPECT_EQ(config("CHORIA_EXECUTOR")["subjects"], Json({"mcollective.submission.in.choria.executor.>"}));
}

}  // namespace
}  // namespace sluice::test
