// A watch against a server played by hand: lost messages, refusals, silence.
#include "client/kv_watch.h"

#include <gtest/gtest.h>

#include "base/headers.h"
#include "fake_bus.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

class KvWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    create_ = bus_.subscribe("$JS.API.CONSUMER.CREATE.>", "", [this](const Message& m, const Origin&) {
      asked_.emplace_back(m.payload);
      consumer_ = std::string(m.subject.substr(30, m.subject.find('.', 30) - 30));
      if (!create_reply_.empty()) bus_.publish({m.reply, "", "", create_reply_});
    });
    info_ = bus_.subscribe("$JS.API.CONSUMER.INFO.>", "", [this](const Message& m, const Origin&) {
      ++looked_;
      bus_.publish({m.reply, "", "", info_reply_});
    });
    next_ = bus_.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", "", [this](const Message& m, const Origin&) { inbox_ = m.reply; });
  }
  std::unique_ptr<KvWatch> watch(KvWatchOptions options = {}) {
    auto made = std::make_unique<KvWatch>(
        sim_.env(), *client_, "KV_B", "$KV.B.", std::move(options),
        KvWatchEvents{.on_entry = [this](const KvEntry& e) { log_.push_back(e.key + "@" + std::to_string(e.revision.value())); },
                      .on_current = [this] { log_.emplace_back("--"); },
                      .on_trouble = [this](const Error& why) { log_.push_back(why.detail); }});
    sim_.advance(100ms);
    return made;
  }
  void deliver(const std::string& key, int seq, int consumer_seq, int pending, const std::string& headers = "") {
    const std::string ack = "$JS.ACK.KV_B." + consumer_ + ".1." + std::to_string(seq) + "." + std::to_string(consumer_seq) + ".1700000000000000000." +
                            std::to_string(pending);
    // A pulled message comes with its own subject; the fake bus knows no other route than the subject.
    bus_.deliver(inbox_, "", {"$KV.B." + key, ack, headers, "v"});
    sim_.advance(10ms);
  }

  sim::SimEnv sim_{1};
  FakeBus bus_;
  std::unique_ptr<NatsLink> link_ = make_bus_link(sim_.env(), bus_);
  std::unique_ptr<StreamClient> client_ = StreamClient::make(sim_.env(), *link_);
  std::unique_ptr<BusSubscription> create_, next_, info_;
  std::string create_reply_ = R"({"name":"c","num_pending":2})";
  std::string info_reply_ = R"({"name":"c","num_pending":2,"delivered":{"consumer_seq":0}})";
  int looked_ = 0;
  std::string inbox_, consumer_;
  std::vector<std::string> asked_, log_;
};

TEST_F(KvWatchTest, ALostMessageIsAskedForAgainFromBehindTheLastOneTold) {
  auto watched = watch();
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_NE(asked_[0].find("last_per_subject"), std::string::npos);
  deliver("a", 4, 1, 1);
  deliver("c", 9, 3, 0);  // number 2 was lost
  sim_.advance(100ms);
  ASSERT_EQ(asked_.size(), 2u);
  EXPECT_NE(asked_[1].find(R"("opt_start_seq":5)"), std::string::npos) << asked_[1];
  deliver("b", 7, 1, 1);
  deliver("c", 9, 2, 0);
  EXPECT_EQ(log_, (std::vector<std::string>{"a@4", "b@7", "c@9", "--"}));
}

TEST_F(KvWatchTest, WhatIsRemovedBeforeItCameDoesNotHoldTheBeginningUp) {
  auto watched = watch();
  deliver("a", 4, 1, 1);
  info_reply_ = R"({"name":"c","num_pending":0,"delivered":{"consumer_seq":2}})";
  sim_.advance(3s);
  EXPECT_EQ(log_, (std::vector<std::string>{"a@4"})) << "another one is on its way";
  EXPECT_EQ(looked_, 1);
  info_reply_ = R"({"name":"c","num_pending":1,"delivered":{"consumer_seq":1}})";
  sim_.advance(2s);
  EXPECT_EQ(log_.size(), 1u) << "one waits";
  info_reply_ = R"({"name":"c","num_pending":0,"delivered":{"consumer_seq":1}})";
  sim_.advance(2s);
  EXPECT_EQ(log_, (std::vector<std::string>{"a@4", "--"})) << "the other expired";
  const int looked = looked_;
  sim_.advance(5s);
  EXPECT_EQ(looked_, looked) << "the beginning is over";
  deliver("c", 9, 2, 0);
  EXPECT_EQ(log_.back(), "c@9");
}

TEST_F(KvWatchTest, ARefusalEndsItAndSilenceDoesNot) {
  create_reply_.clear();
  auto watched = watch();
  sim_.advance(20s);
  EXPECT_GE(asked_.size(), 2u) << "asked again after the time-out";
  EXPECT_TRUE(log_.empty());
  create_reply_ = R"({"error":{"code":404,"err_code":10059,"description":"stream not found"}})";
  sim_.advance(20s);
  EXPECT_EQ(log_, (std::vector<std::string>{"stream not found"}));
  const size_t asked = asked_.size();
  sim_.advance(60s);
  EXPECT_EQ(asked_.size(), asked);
}

TEST_F(KvWatchTest, AnEmptyBucketIsCurrentAtOnceAndACallbackMayEndTheWatch) {
  create_reply_ = R"({"name":"c","num_pending":0})";
  std::unique_ptr<KvWatch> watched;
  bool current = false;
  watched = std::make_unique<KvWatch>(sim_.env(), *client_, "KV_B", "$KV.B.", KvWatchOptions{.filters = {"x.*"}},
                                      KvWatchEvents{.on_current = [&] {
                                        current = true;
                                        watched.reset();
                                      }});
  sim_.advance(1s);
  EXPECT_TRUE(current);
  EXPECT_FALSE(watched);
  EXPECT_NE(asked_[0].find(R"("filter_subject":"$KV.B.x.*")"), std::string::npos);
}

TEST(KvOperationOf, ReadsHeadersOfClientsAndOfTheServer) {
  const auto of = [](std::string_view name, std::string_view value) {
    std::string block;
    append_header(block, name, value);
    return kv_operation_of(block);
  };
  EXPECT_EQ(kv_operation_of(""), KvOperation::kPut);
  EXPECT_EQ(of("KV-Operation", "DEL"), KvOperation::kDelete);
  EXPECT_EQ(of("KV-Operation", "PURGE"), KvOperation::kPurge);
  EXPECT_EQ(of("Nats-Marker-Reason", "MaxAge"), KvOperation::kPurge);
  EXPECT_EQ(of("Nats-Marker-Reason", "Purge"), KvOperation::kPurge);
  EXPECT_EQ(of("Nats-Marker-Reason", "Remove"), KvOperation::kDelete);
  EXPECT_EQ(of("Nats-TTL", "1s"), KvOperation::kPut);
}

}  // namespace
}  // namespace sluice
