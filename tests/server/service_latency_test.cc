// What a service's account hears of how long its requests took.
#include "server/service_latency.h"

#include "session.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::ServerTest;

bool sampled(std::string_view block, int sampling = 0) {
  sim::SimEnv sim(1);
  std::string asked;
  return is_sampled({.subject = "m", .sampling = sampling}, block, sim.env().random, asked);
}

std::string with(std::string_view line) { return "NATS/1.0\r\n" + std::string(line) + "\r\n\r\n"; }

TEST(ServiceLatency, HeadersAskForIt) {
  for (const char* line : {"Uber-Trace-Id: 1:2:3:1", "uber-trace-id: 1:2:3:1", "Uber-Trace-Id: 1:2:3:3", "X-B3-Sampled: 1",
                           "X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7", "B3: 80f-e4-1-05", "B3: 80f-e4-d-05", "B3: 80f-e4",
                           "B3: 1", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    EXPECT_TRUE(sampled(with(line))) << line;
  for (const char* line : {"Uber-Trace-Id: 1:2:3:0", "Uber-Trace-Id: 1:2:3:4", "Uber-Trace-Id: 1:2:3:x1", "Uber-Trace-Id: 1",
                           "X-B3-Sampled: 0", "X-B3-Sampled: true", "X-B3-Flags: 1", "X-B3-Sampled: 0\r\nX-B3-TraceId: 80", "B3: 80f-e4-0-05", "B3: 0",
                           "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "traceparent: 01", "Nats-Trace-Dest: a.b"})
    EXPECT_FALSE(sampled(with(line))) << line;
  EXPECT_FALSE(sampled(""));
  EXPECT_TRUE(sampled("", 100));
  std::string asked;
  sim::SimEnv sim(1);
  ASSERT_TRUE(is_sampled({.subject = "m", .sampling = 0}, with("x-b3-traceid: 80\r\nX-B3-SpanId: \"1\"\r\nOther: x"), sim.env().random, asked));
  EXPECT_EQ(asked, R"({"X-B3-Spanid":["\"1\""],"X-B3-Traceid":["80"]})");
}

TEST(ServiceLatency, ASampleIsAboutAsLargeAsAskedFor) {
  sim::SimEnv sim(7);
  std::string asked;
  int count = 0;
  for (int i = 0; i < 10'000; ++i) count += is_sampled({.subject = "m", .sampling = 25}, "", sim.env().random, asked) ? 1 : 0;
  EXPECT_NEAR(count, 2500, 200);
}

class ServiceLatencyTest : public ServerTest {
 protected:
  void start_service(ExportOptions exported) {
    exported.subject = "q";
    exported.service = true;
    start({.accounts = {{.name = "A", .users = {{"a", "p"}}, .exports = {std::move(exported)}},
                        {.name = "B", .users = {{"b", "p"}}, .imports = {{.account = "A", .subject = "q", .service = true}}}}});
    responder = as("a");
    metrics = as("a");
    asker = as("b");
    ask(*metrics, "SUB m 5\r\n");
    ask(*responder, "SUB q 1\r\n");
  }
  std::unique_ptr<sim::SimPeer> as(std::string_view user) {
    return client(fmt::format(R"(,"user":"{}","pass":"p","name":"n-{}","no_responders":true)", user, user));
  }
  std::string reply() {
    const std::string message = take(*responder);
    const size_t at = message.find("_R_.");
    return at == std::string::npos ? "" : message.substr(at, message.find(' ', at) - at);
  }
  std::string metric() { return take(*metrics); }
  static int64_t number(const std::string& text, std::string_view key) {
    const size_t at = text.find(fmt::format("\"{}\":", key));
    return at == std::string::npos ? -1 : std::stoll(text.substr(at + key.size() + 3));
  }

  std::unique_ptr<sim::SimPeer> responder, metrics, asker;
};

TEST_F(ServiceLatencyTest, AnAnswerIsMeasured) {
  start_service({.latency = LatencyOptions{.subject = "m"}});
  ask(*asker, "SUB in 7\r\nPUB q in 2\r\nhi\r\n");
  const std::string to = reply();
  EXPECT_EQ(metric(), "");
  sim.run_for(30ms);
  ask(*responder, fmt::format("PUB {} 2\r\nok\r\n", to));
  EXPECT_EQ(take(*asker), "MSG in 7 2\r\nok\r\n");
  const std::string told = metric();
  EXPECT_NE(told.find(R"({"type":"io.nats.server.metric.v1.service_latency","id":")"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("status":200,"requestor":{"acc":"B","rtt":)"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("responder":{"start":")"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("name":"n-a")"), std::string::npos) << told;
  EXPECT_GE(number(told, "service"), 25'000'000) << told;
  const size_t second = told.find("\"rtt\":", told.find("responder"));
  EXPECT_EQ(number(told, "total"),
            number(told, "service") + number(told, "system") + number(told, "rtt") + std::stoll(told.substr(second + 6)))
      << told;
  ask(*asker, "PUB q in 2\r\nhi\r\n");
  EXPECT_EQ(metric(), "") << "not answered yet";
}

TEST_F(ServiceLatencyTest, FailuresAreTold) {
  start_service({.threshold = 1s, .latency = LatencyOptions{.subject = "m"}});
  ask(*asker, "SUB in 7\r\nPUB q in 0\r\n\r\n");
  sim.run_for(3s);
  EXPECT_NE(metric().find(R"("status":504,"description":"Service Timeout","requestor":{"acc":"B")"), std::string::npos);
  ask(*asker, "PUB q in 0\r\n\r\n");
  EXPECT_EQ(metric(), "");
  ask(*asker, "UNSUB 7\r\n");
  EXPECT_NE(metric().find(R"("status":408,"description":"Request Timeout")"), std::string::npos);
  sim.run_for(3s);
  EXPECT_EQ(metric(), "") << "told once";
  ask(*asker, "PUB q 0\r\n\r\n");
  EXPECT_NE(metric().find(R"("status":400,"description":"Bad Request")"), std::string::npos);
  ask(*responder, "UNSUB 1\r\n");
  ask(*asker, "SUB in 8\r\nPUB q in 0\r\n\r\n");
  const std::string told = metric();
  EXPECT_NE(told.find(R"("status":503,"description":"Service Unavailable")"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("service":0,"system":0,"total":0})"), std::string::npos) << told;
}

TEST_F(ServiceLatencyTest, OnlyThoseThatAskAreMeasured) {
  start_service({.latency = LatencyOptions{.subject = "m", .sampling = 0}});
  ask(*asker, "SUB in 7\r\nPUB q in 0\r\n\r\n");
  ask(*responder, fmt::format("PUB {} 2\r\nok\r\n", reply()));
  EXPECT_EQ(metric(), "");
  const std::string block = with("B3: 1");
  ask(*asker, fmt::format("HPUB q in {0} {0}\r\n{1}\r\n", block.size(), block));
  ask(*responder, fmt::format("PUB {} 2\r\nok\r\n", reply()));
  EXPECT_NE(metric().find(R"("header":{"B3":["1"]},"start":")"), std::string::npos);
}

TEST(ServiceLatency, WhatCannotBeMeasuredIsRefused) {
  const auto why = [](ExportOptions exported) {
    exported.subject = "q";
    const Status status = check_options({.accounts = {{.name = "A", .exports = {std::move(exported)}}}});
    return status ? "" : status.error().detail;
  };
  EXPECT_EQ(why({.service = true, .latency = LatencyOptions{.subject = "m"}}), "");
  EXPECT_EQ(why({.service = true, .response = ResponseType::kStream, .latency = LatencyOptions{.subject = "m"}}),
            R"(Error adding service latency sampling for "q" on subject "m": bad service response type)");
  EXPECT_EQ(why({.service = true, .latency = LatencyOptions{.subject = "m.*"}}),
            R"(Error adding service latency sampling for "q" on subject "m.*": invalid publish subject)");
  EXPECT_NE(why({.service = false, .latency = LatencyOptions{.subject = "m"}}), "");
}

}  // namespace
}  // namespace sluice
