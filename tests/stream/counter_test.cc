// Counter streams (ADR-49): codes, sums of any size, sourced sums.
#include "stream/counter.h"

#include <random>

#include "stream_world.h"

namespace sluice {
namespace {

TEST(BigInteger, ReadsWholeNumbersOnly) {
  auto text = [](std::string_view from) {
    const auto n = BigInteger::parse(from);
    return n ? n->to_string() : "none";
  };
  EXPECT_EQ(text("007"), "7");
  EXPECT_EQ(text("+5"), "5");
  EXPECT_EQ(text("-0"), "0");
  EXPECT_EQ(text("-000120"), "-120");
  for (std::string_view bad : {"", "-", "+", "1.5", "1_0", "abc", " 1", "1 ", "--1", "0x1"})
    EXPECT_EQ(text(bad), "none") << bad;
}

TEST(BigInteger, AddsLikeMachineNumbers) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 2000; ++i) {
    const auto a = static_cast<int64_t>(random() >> (2 + random() % 60)) * (random() % 2 == 0 ? 1 : -1);
    const auto b = static_cast<int64_t>(random() >> (2 + random() % 60)) * (random() % 2 == 0 ? 1 : -1);
    const auto x = *BigInteger::parse(std::to_string(a));
    const auto y = *BigInteger::parse(std::to_string(b));
    EXPECT_EQ((x + y).to_string(), std::to_string(a + b));
    EXPECT_EQ((x - y).to_string(), std::to_string(a - b));
  }
}

TEST(BigInteger, CarriesThroughTwoHundredDigits) {
  const auto nines = *BigInteger::parse(std::string(200, '9'));
  const auto one = *BigInteger::parse("1");
  EXPECT_EQ((nines + one).to_string(), "1" + std::string(200, '0'));
  EXPECT_EQ((nines + one - one).to_string(), std::string(200, '9'));
  EXPECT_EQ((-nines - one).to_string(), "-1" + std::string(200, '0'));
  EXPECT_EQ((nines - nines).to_string(), "0");
}

class Counter : public StreamWorld {
 protected:
  std::string add(std::string_view by, std::vector<std::pair<std::string, std::string>> more = {},
                  std::string_view subject = "c.a") {
    more.insert(more.begin(), {"Nats-Incr", std::string(by)});
    return ack(subject, "", more);
  }
};

TEST_F(Counter, AddsAndAnswersTheSum) {
  Stream& stream = make(R"({"name":"C","subjects":["c.>"],"allow_msg_counter":true})");
  EXPECT_EQ(add("5"), R"({"stream":"C","seq":1,"val":"5"})");
  EXPECT_EQ(add("+3"), R"({"stream":"C","seq":2,"val":"8"})");
  EXPECT_EQ(add("-10"), R"({"stream":"C","seq":3,"val":"-2"})");
  EXPECT_EQ(add("007", {}, "c.b"), R"({"stream":"C","seq":4,"val":"7"})");
  EXPECT_EQ(add(std::string(200, '9')), R"({"stream":"C","seq":5,"val":")" + std::string(199, '9') + "7\"}");
  const auto stored = stream.store().load(StreamSeq(3));
  EXPECT_EQ(stored->payload, R"({"val":"-2"})");
  EXPECT_EQ(stored->headers, "NATS/1.0\r\nNats-Incr: -10\r\n\r\n");
  EXPECT_EQ(stream.visible_last().value(), 5U);
  // The base is the newest message that is left.
  ASSERT_TRUE(stream.delete_message(StreamSeq(5), false));
  EXPECT_EQ(add("1"), R"({"stream":"C","seq":6,"val":"-1"})");
  restart();
  EXPECT_EQ(add("1"), R"({"stream":"C","seq":7,"val":"0"})");
}

TEST_F(Counter, Codes) {
  make(R"({"name":"C","subjects":["c.>"],"allow_msg_counter":true,"max_msg_size":90})");
  const std::string invalid = "10171 message counter increment is invalid";
  for (std::string_view bad : {"abc", "1.5", "-", "1_0"}) EXPECT_EQ(error_of(add(bad)), invalid) << bad;
  EXPECT_EQ(error_of(ack("c.a", "")), "10169 message counter increment is missing");
  EXPECT_EQ(error_of(ack("c.a", "x", {{"Nats-Incr", "1"}})), "10170 message counter has payload");
  for (const char* other : {"Nats-Rollup", "Nats-Expected-Stream", "Nats-Expected-Last-Sequence",
                            "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Msg-Id"})
    EXPECT_EQ(error_of(add("1", {{other, "1"}})), invalid) << other;
  EXPECT_EQ(add("1", {{"Nats-Msg-Id", "a"}}), R"({"stream":"C","seq":1,"val":"1"})");
  EXPECT_EQ(add("1", {{"Nats-Msg-Id", "a"}}), R"({"stream":"C","seq":1,"duplicate": true})");
  EXPECT_EQ(error_of(add(std::string(60, '9'))), "10054 message size exceeds maximum allowed");
  make(R"({"name":"S","subjects":["s"]})");
  EXPECT_EQ(error_of(add("1", {}, "s")), "10168 message counters is disabled");
  EXPECT_EQ(error_of(add("z", {}, "s")), invalid);
}

TEST_F(Counter, RefusesWhereTheStoredSumIsBroken) {
  Stream& stream = make(R"({"name":"C","subjects":["c.>"],"allow_msg_counter":true})");
  stream.store().append({.subject = "c.a", .headers = {}, .payload = "7", .time = 1, .msg_id = {}});
  EXPECT_EQ(error_of(add("1")), "10172 message counter is broken");
}

TEST_F(Counter, ClientsCannotClaimSources) {
  Stream& stream = make(R"({"name":"C","subjects":["c.>"],"allow_msg_counter":true})");
  EXPECT_EQ(add("1", {{"Nats-Counter-Sources", R"({"A":{"b":"5"}})"}}), R"({"stream":"C","seq":1,"val":"1"})");
  EXPECT_EQ(stream.store().load(StreamSeq(1))->headers, "NATS/1.0\r\nNats-Incr: 1\r\n\r\n");
  EXPECT_EQ(error_of(add("1", {{"Nats-Stream-Source", "A 1"}})),
            "10227 message stream source header is not allowed");
}

TEST(SourcedCounter, AddsTheGrowthOfEachOrigin) {
  const std::string from = "NATS/1.0\r\nNats-Incr: 9\r\nNats-Stream-Source: A 1 > > c.a\r\n\r\n";
  auto first = count_sourced({}, from, R"({"val":"9"})", "sum.a", "A 1 > > c.a");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->sum, "9");
  EXPECT_NE(first->headers.find("Nats-Incr: 9\r\n"), std::string::npos);
  EXPECT_NE(first->headers.find(R"(Nats-Counter-Sources: {"A":{"c.a":"9"}})"), std::string::npos);
  // Two messages of the origin were missed: only its sum counts.
  auto second = count_sourced({first->headers, first->payload}, from, R"({"val":"12"})", "sum.a", "A 4 > > c.a");
  EXPECT_EQ(second->sum, "12");
  EXPECT_NE(second->headers.find("Nats-Incr: 3\r\n"), std::string::npos);
  auto other = count_sourced({second->headers, second->payload}, from, R"({"val":"-2"})", "sum.a", "B 1");
  EXPECT_EQ(other->sum, "10");
  EXPECT_NE(other->headers.find(R"({"A":{"c.a":"12"},"B":{"sum.a":"-2"}})"), std::string::npos);
  // A direct increment keeps what is known of the origins.
  auto own = count_increment({other->headers, other->payload}, "NATS/1.0\r\nNats-Incr: 1\r\n\r\n", "1");
  EXPECT_EQ(own->sum, "11");
  EXPECT_NE(own->headers.find("Nats-Counter-Sources"), std::string::npos);
  EXPECT_EQ(count_sourced({}, from, "no", "sum.a", "A 1").error().api_code, 10172);
}

}  // namespace
}  // namespace sluice
