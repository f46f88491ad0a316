// Alerts on a whole engine.
#include "gateway/core_watch.h"

#include "../node/node_world.h"

namespace sluice::test {
namespace {

class CoreWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    w_.start();
    link_ = make_bus_link(w_.sim.env(), w_.node->bus());
    client_ = StreamClient::make(w_.sim.env(), *link_);
    admin_ = &w_.client("admin");
    admin_->subscribe("sluice.advisory.alert.*");
    watch_ = std::make_unique<CoreWatch>(w_.sim.env(), *client_, AlertSettings{.enabled = true, .interval = 10s, .consumer_lag = 3},
                                         [this] { return own_; });
    watch_->start();
    w_.sim.advance(1s);
  }
  void TearDown() override { watch_.reset(); }
  /// "kind:state" of the advisories since the last call.
  std::vector<std::string> told() {
    std::vector<std::string> out;
    for (const Received& one : admin_->take("sluice.advisory.alert.*")) {
      const Json advisory = Json::parse(one.payload);
      EXPECT_EQ(one.subject, "sluice.advisory.alert." + advisory.value("alert", ""));
      EXPECT_FALSE(advisory.value("advice", "").empty());
      out.push_back(advisory.value("alert", "") + ":" + advisory.value("state", ""));
    }
    return out;
  }

  using Lines = std::vector<std::string>;
  NodeWorld w_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<StreamClient> client_;
  NodeClient* admin_ = nullptr;
  OwnTrouble own_;
  std::unique_ptr<CoreWatch> watch_;
};

TEST_F(CoreWatchTest, AWellCoreRaisesNothing) {
  w_.make_stream(*admin_, "S", "s.>");
  w_.publish(*admin_, "s.a", "1");
  w_.sim.advance(60s);
  EXPECT_EQ(told(), Lines{});
}

TEST_F(CoreWatchTest, DeadLettersAreToldAndTakenBack) {
  w_.make_stream(*admin_, "SLUICE_DLQ", "SLUICE.DLQ.>");
  w_.publish(*admin_, "SLUICE.DLQ.x", "1");
  w_.publish(*admin_, "SLUICE.DLQ.x", "2");
  w_.sim.advance(20s);
  EXPECT_EQ(told(), Lines{"dead_letters:raised"});
  EXPECT_EQ(watch_->alert(AlertKind::kDeadLetters).value, 2u);
  w_.sim.advance(60s);
  EXPECT_EQ(told(), Lines{}) << "once, while it stands";
  w_.api(*admin_, "STREAM.PURGE.SLUICE_DLQ");
  w_.sim.advance(20s);
  EXPECT_EQ(told(), Lines{"dead_letters:cleared"});
}

TEST_F(CoreWatchTest, LagAndQueuesWithoutConsumersAreToldByName) {
  w_.make_stream(*admin_, "S", "s.>");
  w_.make_consumer(*admin_, "S", "slow");
  w_.make_stream(*admin_, "WORK", "w.>", R"(,"retention":"workqueue")");
  for (int i = 0; i < 5; ++i) w_.publish(*admin_, "s.a", "1");
  w_.publish(*admin_, "w.a", "1");
  w_.sim.advance(20s);
  EXPECT_EQ(told(), (Lines{"consumer_lag:raised", "no_consumers:raised"}));
  EXPECT_EQ(watch_->alert(AlertKind::kConsumerLag).what, Lines{"S/slow"});
  EXPECT_EQ(watch_->alert(AlertKind::kNoConsumers).what, Lines{"WORK"});
  EXPECT_EQ(w_.pull(*admin_, "S", "slow", 3).size(), 3u);
  w_.make_consumer(*admin_, "WORK", "worker");
  w_.sim.advance(20s);
  EXPECT_EQ(told(), (Lines{"consumer_lag:cleared", "no_consumers:cleared"}));
}

TEST_F(CoreWatchTest, AnAdapterIsDownWhenItIsTwiceInARow) {
  own_.adapters = {"a"};
  w_.sim.advance(10s);
  EXPECT_EQ(told(), Lines{});
  w_.sim.advance(10s);
  EXPECT_EQ(told(), Lines{"adapter_down:raised"});
  own_.adapters.clear();
  w_.sim.advance(10s);
  EXPECT_EQ(told(), Lines{"adapter_down:cleared"});
}

TEST_F(CoreWatchTest, AStoreThatRefusesAndACopyThatIsStuckAreToldAtTheNextLook) {
  own_.store = "no space left for new messages";
  own_.copies = {"ORDERS_a"};
  w_.sim.advance(10s);
  EXPECT_EQ(told(), (Lines{"copy_stuck:raised", "store_refuses:raised"}));
  EXPECT_EQ(watch_->alert(AlertKind::kStoreRefuses).what, Lines{"no space left for new messages"});
  EXPECT_EQ(watch_->alert(AlertKind::kCopyStuck).what, Lines{"ORDERS_a"});
  own_ = {};
  w_.sim.advance(10s);
  EXPECT_EQ(told(), (Lines{"copy_stuck:cleared", "store_refuses:cleared"}));
}

}  // namespace
}  // namespace sluice::test
