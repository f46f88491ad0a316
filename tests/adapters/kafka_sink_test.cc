// A stream into a topic, on a whole engine in the simulated world.
#include "kafka_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::KafkaWorld;

class KafkaSinkTest : public KafkaWorld {
 protected:
  void SetUp() override {
    KafkaWorld::SetUp();
    w_.make_stream(person(), "O", "o.>");
  }
  void publish(int from, int to) {
    for (int i = from; i < to; ++i) w_.publish(person(), "o." + std::to_string(i % 3), std::to_string(i));
  }
  std::vector<std::string> written() {
    std::vector<std::string> out;
    for (const KafkaOutRecord& record : kafka_.written) out.push_back(record.value.value_or("null"));
    return out;
  }
  static std::vector<std::string> numbers(int from, int to) {
    std::vector<std::string> out;
    for (int i = from; i < to; ++i) out.push_back(std::to_string(i));
    return out;
  }
};

TEST_F(KafkaSinkTest, MessagesBecomeRecordsInOrder) {
  publish(0, 5);
  start_sink();
  publish(5, 20);
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 20; }));
  EXPECT_EQ(written(), numbers(0, 20));
  EXPECT_EQ(kafka_.written[4].key, "o.1");
  EXPECT_EQ(kafka_.positions["group"].next, 21);
  ASSERT_TRUE(run([&] { return adapter_->figures().accepted == 20; }));
  EXPECT_EQ(adapter_->health(), AdapterHealth::kRunning);
}

TEST_F(KafkaSinkTest, ATransactionWhoseOutcomeIsUnknownIsNotRepeated) {
  kafka_.fates = "aobaob";
  for (int i = 0; i < 60; ++i) {
    if (i == 10) start_sink();
    publish(i, i + 1);
    w_.sim.advance(100ms);
  }
  ASSERT_TRUE(run([&] { return kafka_.positions["group"].next == 61; }));
  EXPECT_EQ(written(), numbers(0, 60));
}

TEST_F(KafkaSinkTest, WhateverKillsItNothingIsLostOrDoubled) {
  int sent = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    sim::SimRandom random(seed);
    for (int i = 0; i < 5; ++i) kafka_.fates += "oab"[random.below(3)];
    start_sink();
    for (int i = 0; i < 10; ++i) {
      publish(sent, sent + 5);
      sent += 5;
      w_.sim.advance(std::chrono::milliseconds(random.below(200)));
    }
    crash(sim::Crash::kKill);
  }
  kafka_.fates.clear();
  start_sink();
  ASSERT_TRUE(run([&] { return kafka_.positions["group"].next == sent + 1; }));
  EXPECT_EQ(written(), numbers(0, sent));
}

TEST_F(KafkaSinkTest, FromNewSkipsWhatWasThere) {
  publish(0, 5);
  sink_.from_start = false;
  start_sink();
  ASSERT_TRUE(run([&] { return kafka_.positions.contains("group"); }));
  stop();
  publish(5, 8);
  start_sink();
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 3; }));
  EXPECT_EQ(written(), numbers(5, 8));
}

TEST_F(KafkaSinkTest, OfTwoCopiesTheLaterWins) {
  start_sink();
  publish(0, 5);
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 5; }));
  auto first = std::move(adapter_);
  start_sink();
  ASSERT_TRUE(running());
  publish(5, 10);
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 10 && first->health() == AdapterHealth::kDegraded; }));
  EXPECT_EQ(first->figures().refused.at("fenced"), 1u);
  w_.sim.advance(10s);
  publish(10, 15);
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 15; }));
  EXPECT_EQ(written(), numbers(0, 15));
}

TEST_F(KafkaSinkTest, WhatKafkaRefusesIsADeadLetter) {
  kafka_.refused_value = "37";
  publish(0, 100);
  start_sink();
  ASSERT_TRUE(run([&] { return kafka_.positions["group"].next == 101; }, 300s));
  auto wanted = numbers(0, 100);
  wanted.erase(wanted.begin() + 37);
  EXPECT_EQ(written(), wanted);
  EXPECT_EQ(payloads("SLUICE_DLQ"), (std::vector<std::string>{"37"}));
}

TEST_F(KafkaSinkTest, AStreamMadeAgainIsReadFromItsStart) {
  publish(0, 5);
  start_sink();
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 5; }));
  stop();
  w_.api(person(), "STREAM.DELETE.O");
  w_.sim.advance(2s);
  w_.make_stream(person(), "O", "o.>");
  publish(5, 15);
  start_sink();
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 15; }));
  EXPECT_EQ(written(), numbers(0, 15));
}

TEST_F(KafkaSinkTest, BrokersThatAreAwayAreWaitedFor) {
  kafka_.down = true;
  publish(0, 3);
  start_sink();
  ASSERT_TRUE(*started_);
  w_.sim.advance(60s);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  kafka_.down = false;
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 3; }));
  EXPECT_TRUE(running());
}

TEST_F(KafkaSinkTest, StopsWithinItsDeadline) {
  start_sink();
  publish(0, 3);
  ASSERT_TRUE(run([&] { return kafka_.written.size() == 3; }));
  stop();
}

}  // namespace
}  // namespace sluice
