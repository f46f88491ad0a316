// Topics into a stream, on a whole engine in the simulated world.
#include "kafka_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::KafkaWorld;

class KafkaSourceTest : public KafkaWorld {
 protected:
  void produce(int from, int to, int32_t partition = 0) {
    for (int i = from; i < to; ++i) kafka_.produce("t", "k" + std::to_string(partition), std::to_string(partition) + "/" + std::to_string(i), partition);
  }
  /// Every record once, each partition in its order.
  void expect_whole(int32_t partitions, int each) {
    std::map<std::string, std::vector<int>> seen;
    for (const std::string& payload : payloads("S")) seen[payload.substr(0, payload.find('/'))].push_back(std::stoi(payload.substr(payload.find('/') + 1)));
    for (int32_t p = 0; p < partitions; ++p) {
      std::vector<int> wanted;
      for (int i = 0; i < each; ++i) wanted.push_back(i);
      EXPECT_EQ(seen[std::to_string(p)], wanted) << "partition " << p;
    }
  }
};

TEST_F(KafkaSourceTest, RecordsBecomeMessages) {
  kafka_.make_topic("t", 2);
  start_source();
  ASSERT_TRUE(*started_);
  kafka_.produce("t", "a.b", "one").headers = {{"h", "1"}};
  kafka_.produce("t", std::nullopt, std::nullopt, 1);
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 2; }));
  const auto all = read("S");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].subject, "in.t.a%2Eb");
  EXPECT_EQ(find_header(all[0].headers, "h"), "1");
  EXPECT_EQ(all[1].subject, "in.t._");
  EXPECT_EQ(find_header(all[1].headers, "Kafka-Tombstone"), "true");
  EXPECT_EQ(count("S"), 3u) << "two records and one position";
  EXPECT_EQ(adapter_->health(), AdapterHealth::kRunning);
  EXPECT_EQ(adapter_->figures().lag_total, 0u);
}

TEST_F(KafkaSourceTest, ARestartNeitherReplaysNorSkips) {
  kafka_.make_topic("t", 3);
  int sent = 0;
  for (int round = 0; round < 4; ++round) {
    for (int32_t p = 0; p < 3; ++p) produce(sent, sent + 700, p);
    sent += 700;
    start_source();
    ASSERT_TRUE(run([&] { return adapter_->figures().lag_total == 0u; }));
    stop();
  }
  expect_whole(3, sent);
}

TEST_F(KafkaSourceTest, WhateverKillsItNothingIsLostOrDoubled) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    sim::SimRandom random(seed);
    kafka_.make_topic("t", 3);
    int sent = static_cast<int>(kafka_.logs[{"t", 0}].end);
    const int until = sent + 300;
    start_source();
    while (sent < until) {
      for (int32_t p = 0; p < 3; ++p) produce(sent, sent + 20, p);
      sent += 20;
      w_.sim.advance(std::chrono::microseconds(random.below(3000)));
    }
    w_.sim.advance(std::chrono::microseconds(random.below(5000)));
    crash(random.below(2) == 0 ? sim::Crash::kKill : sim::Crash::kPower);
  }
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().lag_total == 0u; }));
  expect_whole(3, static_cast<int>(kafka_.logs[{"t", 0}].end));
}

/// More than fits a batch: the next one's messages are sent while this one is on its way to the disk.
TEST_F(KafkaSourceTest, KillsWhileTheNextBatchIsSentAhead) {
  kafka_.make_topic("t", 2);
  sim::SimRandom random(5);
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(round);
    for (int32_t p = 0; p < 2; ++p) produce(round * 1000, (round + 1) * 1000, p);
    start_source();
    const uint64_t enough = random.below(2000);
    ASSERT_TRUE(run([&] { return adapter_->figures().accepted >= enough; }));
    w_.sim.advance(std::chrono::microseconds(random.below(3000)));
    crash(random.below(2) == 0 ? sim::Crash::kKill : sim::Crash::kPower);
  }
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().lag_total == 0u; }));
  expect_whole(2, 8000);
}

TEST_F(KafkaSourceTest, TwoCopiesThatSendAheadStoreEachRecordOnce) {
  kafka_.make_topic("t");
  start_source();
  ASSERT_TRUE(running());
  auto first = std::move(adapter_);
  start_source();
  ASSERT_TRUE(running());
  produce(0, 6000);
  ASSERT_TRUE(run([&] { return adapter_->figures().lag_total == 0u && first->figures().lag_total == 0u; }, 10min));
  expect_whole(1, 6000);
  first.reset();
}

TEST_F(KafkaSourceTest, ARefusedMessageInABatchSentAheadIsFound) {
  w_.make_stream(person(), "S", "in.>", R"(,"allow_atomic":true,"allow_rollup_hdrs":true,"max_msg_size":1000)");
  w_.api(person(), "STREAM.UPDATE.S", R"({"name":"S","subjects":["in.>","SLUICE.KAFKA.in"],"allow_atomic":true,"allow_rollup_hdrs":true,"max_msg_size":1000})");
  kafka_.make_topic("t");
  produce(0, 1500);
  kafka_.produce("t", "k", std::string(2000, 'x'));
  produce(1500, 4000);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 4000; }));
  EXPECT_EQ(payloads("SLUICE_DLQ"), (std::vector<std::string>{std::string(2000, 'x')}));
  expect_whole(1, 4000);
}

TEST_F(KafkaSourceTest, FromNewBeginsAtTheEndEvenAfterARestart) {
  source_.from_start = false;
  kafka_.make_topic("t");
  produce(0, 5);
  start_source();
  ASSERT_TRUE(running());
  stop();
  produce(5, 8);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 3; }));
  EXPECT_EQ(payloads("S"), (std::vector<std::string>{"0/5", "0/6", "0/7"}));
}

TEST_F(KafkaSourceTest, NewPartitionsAreReadFromTheirStart) {
  source_.from_start = false;
  kafka_.make_topic("t");
  start_source();
  ASSERT_TRUE(running());
  produce(0, 10, 1);
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 10; }));
  EXPECT_EQ(payloads("S").front(), "1/0");
}

TEST_F(KafkaSourceTest, ATopicThatIsNotThereIsWaitedFor) {
  start_source();
  ASSERT_TRUE(*started_);
  w_.sim.advance(5s);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  EXPECT_TRUE(adapter_->trouble().contains("is not there")) << adapter_->trouble();
  kafka_.make_topic("t");
  produce(0, 1);
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 1; }));
  EXPECT_TRUE(running());
}

TEST_F(KafkaSourceTest, ARecreatedTopicIsReadFromItsStart) {
  kafka_.make_topic("t");
  produce(0, 10);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 10; }));
  kafka_.delete_topic("t");
  w_.sim.advance(3s);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  kafka_.make_topic("t");
  for (int i = 0; i < 3; ++i) kafka_.produce("t", "k", "new/" + std::to_string(i));
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 13; }));
  EXPECT_EQ(payloads("S").back(), "new/2");
}

/// The new one is longer than the old was: only the record before the position tells.
TEST_F(KafkaSourceTest, ARecreatedTopicIsKnownByItsRecords) {
  kafka_.make_topic("t");
  produce(0, 10);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 10; }));
  stop();
  kafka_.delete_topic("t");
  for (int i = 0; i < 30; ++i) kafka_.produce("t", "k", "new/" + std::to_string(i));
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 30; }));
  EXPECT_EQ(payloads("S")[10], "new/0");
  EXPECT_EQ(payloads("S").size(), 40u);
}

TEST_F(KafkaSourceTest, OnRecreatedStopReadsNoMore) {
  source_.restart_recreated = false;
  kafka_.make_topic("t");
  produce(0, 10);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 10; }));
  kafka_.delete_topic("t");
  w_.sim.advance(2s);
  kafka_.make_topic("t");
  kafka_.produce("t", "k", "new");
  w_.sim.advance(10s);
  EXPECT_EQ(adapter_->figures().accepted, 10u);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
}

TEST_F(KafkaSourceTest, WhatExpiredBeforeItWasReadIsCounted) {
  kafka_.make_topic("t");
  produce(0, 5);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 5; }));
  stop();
  produce(5, 20);
  kafka_.expire("t", 12);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 8; }));
  EXPECT_EQ(adapter_->figures().lost_at_source, 7u);
  EXPECT_EQ(payloads("S").back(), "0/19");
}

TEST_F(KafkaSourceTest, BrokersThatAreAwayAreWaitedFor) {
  kafka_.make_topic("t");
  produce(0, 5);
  kafka_.down = true;
  start_source();
  ASSERT_TRUE(*started_);
  w_.sim.advance(20s);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  kafka_.down = false;
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 5; }));
  EXPECT_TRUE(running());
}

TEST_F(KafkaSourceTest, OneMessageTheStreamRefusesDisturbsNothing) {
  w_.make_stream(person(), "S", "in.>", R"(,"allow_atomic":true,"allow_rollup_hdrs":true,"max_msg_size":1000)");
  w_.api(person(), "STREAM.UPDATE.S", R"({"name":"S","subjects":["in.>","SLUICE.KAFKA.in"],"allow_atomic":true,"allow_rollup_hdrs":true,"max_msg_size":1000})");
  kafka_.make_topic("t");
  produce(0, 50);
  kafka_.produce("t", "k", std::string(2000, 'x'));
  produce(50, 100);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 100; }));
  EXPECT_EQ(payloads("SLUICE_DLQ"), (std::vector<std::string>{std::string(2000, 'x')}));
  expect_whole(1, 100);
  EXPECT_EQ(adapter_->figures().rejected.at("refused"), 1u);
}

TEST_F(KafkaSourceTest, AStreamThatCantBeUsedIsSaid) {
  w_.make_stream(person(), "S", "in.>");
  start_source();
  ASSERT_FALSE(*started_);
  EXPECT_TRUE(started_->error().detail.contains("allow_atomic")) << started_->error().detail;
}

TEST_F(KafkaSourceTest, OfTwoCopiesEachRecordIsStoredOnce) {
  kafka_.make_topic("t");
  start_source();
  ASSERT_TRUE(running());
  auto first = std::move(adapter_);
  start_source();
  for (int i = 0; i < 200; ++i) {
    produce(i, i + 1);
    w_.sim.advance(20ms);
  }
  w_.sim.advance(30s);
  expect_whole(1, 200);
  first.reset();
}

TEST_F(KafkaSourceTest, APurgedStreamGoesOnFromWhereItWas) {
  kafka_.make_topic("t");
  produce(0, 10);
  start_source();
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 10; }));
  w_.api(person(), "STREAM.PURGE.S");
  produce(10, 12);
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 12; }));
  EXPECT_EQ(payloads("S"), (std::vector<std::string>{"0/10", "0/11"}));
}

}  // namespace
}  // namespace sluice
